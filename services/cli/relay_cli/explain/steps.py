"""Steps: what happened in a turn, in the order of time."""

from collections.abc import Iterator
from dataclasses import dataclass

from relay_cli.explain.causes import of_audio, of_motion
from relay_cli.explain.frames import StoredFrame
from relay_cli.explain.turn import Turn
from relay_wire import events
from relay_wire.position import START, Position


@dataclass(frozen=True)
class Step:
    """One thing that happened."""

    at_s: float
    """Seconds after the origin of the timeline."""
    what: str
    detail: str = ""
    is_fault: bool = False
    position: Position = START
    """Of the frame; 0-0 where the step is none of a frame."""


def steps(turn: Turn) -> list[Step]:
    """All steps that the frames of the turn show."""
    found = [*_speech(turn), *_media(turn), *_late(turn), *_events(turn), *_breaks(turn)]
    return sorted(found, key=lambda step: (step.at_s, step.position))


def _speech(turn: Turn) -> Iterator[Step]:
    if turn.received_at_s is not None:
        yield Step(turn.received_at_s - turn.origin_s, "speech stored", "its first piece is in the uplink")
    if turn.started is None:
        yield Step(0.0, "trimmed", f"frames before {turn.frames[0].position} are not in the stream any more")


def _media(turn: Turn) -> Iterator[Step]:
    if turn.audio:
        yield _step(turn, turn.audio[0], "first audio published", f"{turn.audio[0].payload_bytes} bytes")
    if turn.audio_end:
        yield _step(turn, turn.audio_end, "audio complete", f"END; {turn.audio_s:.3f} s of audio")
    if turn.motion:
        first, last = turn.motion[0], turn.motion[-1]
        yield _step(turn, first, "first motion published", f"{first.payload_bytes} bytes")
        if last.is_end:
            yield _step(turn, last, "motion complete", f"END; {len(turn.motion)} payloads")
    if turn.leads:
        lead, frame = min(zip(turn.leads, turn.motion, strict=True))
        detail = f"{lead:+.3f} s; at the last payload {turn.leads[-1]:+.3f} s"
        # The first payload comes after the audio that it is computed from.
        is_fault = lead < 0 and frame is not turn.motion[0]
        yield _step(turn, frame, "smallest motion lead", detail, is_fault=is_fault)


def _late(turn: Turn) -> Iterator[Step]:
    media = (("audio", turn.audio_stalls, of_audio), ("motion", turn.motion_stalls, of_motion))
    for medium, found, causes in media:
        for stall in found:
            detail = f"a player had none for {stall.seconds:.3f} s: {causes(turn, stall)}"
            yield Step(stall.until_s - turn.origin_s, f"{medium} late", detail, is_fault=True)


def _events(turn: Turn) -> Iterator[Step]:
    for frame in turn.frames:
        match frame.event:
            case events.TurnStarted():
                yield _step(turn, frame, "turn_started published")
            case events.Interrupted(reason):
                yield _step(turn, frame, "interrupted", reason)
            case events.AudioOnly(reason):
                yield _step(turn, frame, "audio only", reason, is_fault=True)
            case events.Error(code, message):
                yield _step(turn, frame, "error", f"{code}: {message}", is_fault=True)
            case events.TurnEnded(outcome):
                abnormal = outcome in ("audio_only", "failed")
                yield _step(turn, frame, "turn_ended published", outcome, is_fault=abnormal)


def _breaks(turn: Turn) -> Iterator[Step]:
    for change in turn.owner_changes:
        detail = (
            f"generation {change.first.position.generation}, after {change.seconds:.3f} s without a frame"
        )
        yield _step(turn, change.first, "owner changed", detail, is_fault=True)
    for after, until in turn.missing:
        detail = f"between {after.position} and {until.position}"
        yield _step(turn, until, "positions missing", detail, is_fault=True)


def _step(turn: Turn, frame: StoredFrame, what: str, detail: str = "", *, is_fault: bool = False) -> Step:
    return Step(frame.published_at_s - turn.origin_s, what, detail, is_fault, frame.position)

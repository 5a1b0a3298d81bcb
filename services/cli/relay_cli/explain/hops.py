"""Hops: how long each part of a turn's way took, and which was the slowest."""

from collections.abc import Iterator
from dataclasses import dataclass

from relay_cli.explain.causes import audio_published_at_s, of_audio, of_motion
from relay_cli.explain.turn import Turn


@dataclass(frozen=True)
class Hop:
    """One part of the way."""

    name: str
    seconds: float
    usual_s: float
    """Up to this it needs no attention."""
    between: str
    look_at: str

    @property
    def is_slow(self) -> bool:
        """Whether it took longer than usual."""
        return self.seconds > self.usual_s


def hops(turn: Turn) -> list[Hop]:
    """Every hop that the frames of the turn show, in the order of the way."""
    return [*_uplink(turn), *_owner(turn), *_owner_changes(turn), *_speech(turn), *_motion(turn)]


def slowest(found: list[Hop]) -> Hop | None:
    """The hop that exceeded its usual time most; when none did, the longest."""
    slow = [hop for hop in found if hop.is_slow]
    return max(
        slow or found, key=lambda hop: hop.seconds - hop.usual_s if slow else hop.seconds, default=None
    )


def verdict(found: list[Hop]) -> str:
    """One sentence that names the slowest hop and what to look at next."""
    hop = slowest(found)
    if hop is None:
        return "The stream has too few frames of this turn to measure a hop."
    sentence = f"The slowest hop is {hop.name}: {hop.seconds:.3f} s {hop.between}"
    if not hop.is_slow:
        return f"{sentence}; every hop is within its usual time."
    return f"{sentence}, where up to {hop.usual_s:g} s is usual. Look at {hop.look_at}."


def _uplink(turn: Turn) -> Iterator[Hop]:
    if turn.received_at_s is not None and turn.started is not None:
        yield Hop(
            "the uplink", max(0.0, turn.started.published_at_s - turn.received_at_s), 0.25,
            "from storing the speech to the start of the turn; a turn waits here for the one before it",
            "relay_ingest_uplink_seconds, relay_ingest_unowned_seconds, and the turn before",
        )  # fmt: skip


def _owner(turn: Turn) -> Iterator[Hop]:
    if turn.started is not None and turn.audio:
        yield Hop(
            "the owner", turn.audio[0].published_at_s - turn.started.published_at_s, 0.1,
            "from the start of the turn to its first audio",
            "relay_publish_seconds and relay_loop_lag_seconds of the owner",
        )  # fmt: skip


def _owner_changes(turn: Turn) -> Iterator[Hop]:
    if turn.owner_changes:
        yield Hop(
            "the change of the owner", max(change.seconds for change in turn.owner_changes), 0.5,
            "without a frame between two owners",
            "relay_ingest_takeover_seconds, relay_ingest_expired_total, and the log of the former owner",
        )  # fmt: skip


def _speech(turn: Turn) -> Iterator[Hop]:
    if turn.audio:
        yield Hop(
            "the speaker", sum(of_audio(turn, stall).speech_s for stall in turn.audio_stalls), 0.1,
            "in which published audio had played and the speaker had sent no more",
            "the speech synthesis of the backend, and relay_speech_chunk_seconds of control",
        )  # fmt: skip


def _motion(turn: Turn) -> Iterator[Hop]:
    first = turn.motion[0] if turn.motion else turn.audio_only
    if not turn.audio or first is None:
        return
    media_s = turn.motion_s(first) if turn.motion else 0.0
    has_audio_s = audio_published_at_s(turn, media_s)
    until = "to the first motion" if turn.motion else "to the switch to audio only, without motion"
    yield Hop(
        "Motion Server, first motion", max(0.0, first.published_at_s - has_audio_s), 1.0,
        f"from the audio that it is computed from {until}",
        "relay_motion_open_seconds and relay_motion_failures_total by code",
    )  # fmt: skip
    if turn.motion:
        yield from _further_motion(turn)


def _further_motion(turn: Turn) -> Iterator[Hop]:
    late = [of_motion(turn, stall) for stall in turn.motion_stalls]
    yield Hop(
        "the pace of the speech", sum(causes.speech_s for causes in late), 0.1,
        "in which motion had played and Motion Server had no audio for more",
        "the backend: send speech as soon as it is made, or several seconds of it before the rest",
    )  # fmt: skip
    yield Hop(
        "Motion Server, further motion", sum(causes.motion_s for causes in late), 0.1,
        "in which motion had played and Motion Server had the audio for more",
        "relay_motion_lead_seconds, and the region and load of Motion Server",
    )  # fmt: skip
    if turn.audio_played_at_s and turn.ended:
        yield Hop(
            "Motion Server, last motion",
            max(0.0, turn.ended[0].published_at_s - turn.audio_played_at_s), 0.5,
            "from the time at which the audio has played to the end of the turn",
            "relay_motion_lead_seconds and the audio_only reasons",
        )  # fmt: skip

"""Turn: the facts that the frames of one turn show."""

import pytest
from tests.rigs.stored_turns import START_S, Frames, complete

from relay_cli.explain.playback import Stall
from relay_cli.explain.turn import MOTION_BYTES_PER_S, Missing, of_turn
from relay_wire import events


def test_a_complete_turn() -> None:
    """Its motion is as long as its audio, so that the lead is exact."""
    turn = complete().turn(stored_at_s=-0.1)

    assert turn.started is turn.frames[0]
    assert turn.received_at_s == turn.origin_s == START_S - 0.1
    assert (turn.audio_s, turn.audio_bytes, turn.motion_bytes) == (3.0, 96_000, 90_000)
    assert turn.audio_end is turn.frames[2]
    assert turn.ended is not None
    assert turn.ended[1].outcome == "complete"
    assert (turn.audio_stalls, turn.motion_stalls, turn.owner_changes, turn.missing) == ([], [], [], [])
    assert turn.leads == pytest.approx([0.5 - 0.49, 3.0 - 0.79])
    assert turn.audio_played_at_s == START_S + 3.01


def test_an_interrupted_owner() -> None:
    """The gap in time lies between two frames; no position is lost."""
    frames = complete().frames[:3]
    stream = Frames()
    stream.frames += frames
    stream.owner_changed(4.0).event(4.0, events.AudioOnly("owner_changed")).motion(4.0, 0, end=True)
    turn = stream.turn()

    [change] = turn.owner_changes
    assert change.seconds == pytest.approx(3.8)
    assert change.first.position.seq == 1
    assert turn.missing == []
    assert turn.audio_only is turn.frames[4]
    assert (turn.motion, turn.leads, turn.ended) == ([], [], None)


def test_missing_positions() -> None:
    """Also across owners, when the next one does not name the last frame that is there."""
    stream = Frames().event(0.0, events.TurnStarted()).skip(2).audio(0.1, 1.0)
    turn = stream.turn()
    assert turn.missing == [Missing(turn.frames[0], turn.frames[1])]

    stream = Frames().event(0.0, events.TurnStarted()).owner_changed(1.0)
    del stream.frames[0]
    stream.frames.insert(0, Frames().skip(5).audio(0.0, 1.0).frames[0])
    assert len(stream.turn().missing) == 1


def test_stalls() -> None:
    """Of audio, and of motion; the switch to audio only ends one of motion."""
    turn = (
        Frames().event(0.0, events.TurnStarted()).audio(0.0, 1.0).motion(0.5, MOTION_BYTES_PER_S)
        .audio(1.5, 1.0).event(2.5, events.AudioOnly("motion_stalled")).turn()
    )  # fmt: skip

    assert turn.audio_stalls == [Stall(START_S + 1.5, 0.5, 2.0)]
    assert turn.motion_stalls == [Stall(START_S + 2.5, 1.0, 1.0)]
    assert turn.audio_played_at_s == START_S + 2.5


def test_motion_before_any_audio_has_no_lead() -> None:
    """As where the beginning of the turn is trimmed."""
    turn = Frames().motion(0.0, 100, end=True).turn()

    assert (turn.leads, turn.started, turn.audio_end, turn.audio_played_at_s) == ([], None, None, None)
    assert turn.origin_s == START_S


def test_motion_without_a_sample_of_audio() -> None:
    """Nothing can be measured, and nothing is divided by zero."""
    stream = Frames().event(0.0, events.TurnStarted()).audio(0.0, 0.0, end=True)
    turn = stream.motion(0.1, 2000, end=True).turn()

    assert turn.leads == [pytest.approx(0.0, abs=1e-6)]


def test_when_the_speech_was_stored() -> None:
    """The event's time comes before that of the uplink."""
    received_at_ms = int(START_S * 1000) - 250
    turn = Frames().event(0.0, events.TurnStarted(received_at_ms)).turn(stored_at_s=-9.0)

    assert turn.received_at_s == START_S - 0.25


def test_the_trace_context() -> None:
    """Of the first frame that has one."""
    turn = Frames().audio(0.0, 1.0).audio(0.0, 1.0, traceparent="00-a-b-01").turn()

    assert turn.traceparent == "00-a-b-01"
    assert complete().turn().traceparent == ""


def test_the_frames_of_a_turn() -> None:
    """From its first to its last, with those outside any turn between them."""
    stream = complete()
    between = Frames(turn=0).event(0.3, events.Error("c", "m", retryable=False), outside=True).frames
    later = Frames(turn=4).event(1.0, events.TurnStarted()).frames
    frames = [*between, *stream.frames[:2], *between, *stream.frames[2:], *between, *later]

    assert of_turn(3, frames) == frames[1:-2]
    assert of_turn(9, frames) == []

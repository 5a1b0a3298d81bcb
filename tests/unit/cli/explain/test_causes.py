"""Causes: a stall is divided among the hops that it was due to."""

import math

import pytest
from tests.rigs.stored_turns import START_S, Frames

from relay_cli.explain.causes import Causes, audio_published_at_s, of_audio, of_motion
from relay_cli.explain.playback import Stall
from relay_wire import events


def parts(causes: Causes) -> list[float]:
    return [round(seconds, 6) for seconds in causes]


STREAM = Frames().event(0.0, events.TurnStarted()).audio(0.0, 1.0).owner_changed(2.0).audio(2.5, 1.0)
TURN = STREAM.turn()


def test_audio() -> None:
    """Without an owner the speaker's audio is unknown."""
    assert parts(of_audio(TURN, Stall(START_S + 2.5, 1.5, 2.0))) == [1.0, 0.5, 0.0]
    assert parts(of_audio(TURN, Stall(START_S + 9.0, 1.0, 2.0))) == [0.0, 1.0, 0.0]


def test_motion() -> None:
    """First there was no owner, then no audio, then Motion Server had both."""
    assert parts(of_motion(TURN, Stall(START_S + 3.0, 2.0, 2.0))) == [1.0, 0.5, 0.5]
    assert parts(of_motion(TURN, Stall(START_S + 3.0, 2.0, 1.0))) == [1.0, 0.0, 1.0]


def test_motion_of_a_turn_without_audio() -> None:
    """Where the audio is trimmed the stall is Motion Server's."""
    turn = Frames().motion(0.0, 100).turn()

    assert parts(of_motion(turn, Stall(START_S + 3.0, 2.0, 2.0))) == [0.0, 0.0, 2.0]
    assert audio_published_at_s(turn, 1.0) == -math.inf


def test_when_the_audio_was_published() -> None:
    """Of more than there is, the last."""
    assert [audio_published_at_s(TURN, media_s) - START_S for media_s in (0.0, 1.0, 1.5, 9.0)] == (
        pytest.approx([0.0, 0.0, 2.5, 2.5])
    )


def test_causes_as_text() -> None:
    """Only those that matter."""
    assert str(Causes(1.0, 0.001, 0.5)) == "no owner 1.000 s, Motion Server 0.500 s"

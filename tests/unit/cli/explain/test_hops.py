"""Hops: each part of the way is measured, and the slowest one is named with what to look at."""

import pytest
from tests.rigs.stored_turns import Frames, complete

from relay_cli.explain.hops import Hop, hops, slowest, verdict
from relay_cli.explain.turn import MOTION_BYTES_PER_S
from relay_wire import events


def times(found: list[Hop]) -> dict[str, float]:
    return {hop.name: round(hop.seconds, 6) for hop in found}


def test_a_complete_turn() -> None:
    """Every hop of the stream is there, and none is slow."""
    found = hops(complete().turn(stored_at_s=-0.1))

    assert times(found) == {
        "the uplink": 0.1, "the owner": 0.01, "the speaker": 0.0, "Motion Server, first motion": 0.49,
        "the pace of the speech": 0.0, "Motion Server, further motion": 0.0,
        "Motion Server, last motion": 0.0,
    }  # fmt: skip
    assert verdict(found) == (
        "The slowest hop is Motion Server, first motion: 0.490 s from the audio that it is computed from to"
        " the first motion; every hop is within its usual time."
    )


def test_a_turn_without_motion() -> None:
    """The wait for the first motion ends at the switch to audio."""
    turn = (
        Frames().event(0.0, events.TurnStarted()).audio(0.0, 6.0, end=True)
        .event(5.0, events.AudioOnly("motion_timeout")).motion(5.0, 0, end=True)
        .event(5.0, events.TurnEnded("audio_only")).turn()
    )  # fmt: skip
    found = hops(turn)

    assert times(found) == {"the owner": 0.0, "the speaker": 0.0, "Motion Server, first motion": 5.0}
    assert "without motion, where up to 1 s is usual. Look at relay_motion_open_seconds" in verdict(found)


def test_an_owner_that_died() -> None:
    """Audio that stalls meanwhile is not the speaker's."""
    stream = Frames().event(0.0, events.TurnStarted()).audio(0.0, 1.0).owner_changed(4.0)
    turn = stream.audio(4.0, 1.0, end=True).event(4.0, events.TurnEnded("audio_only")).turn()
    found = hops(turn)

    assert times(found) == {"the owner": 0.0, "the change of the owner": 4.0, "the speaker": 0.0}
    assert verdict(found).startswith("The slowest hop is the change of the owner: 4.000 s without a frame")


def test_late_motion() -> None:
    """What counts is how long a player had none, not how long the turn took."""
    turn = (
        Frames().event(0.0, events.TurnStarted()).audio(0.0, 4.0, end=True).motion(0.5, MOTION_BYTES_PER_S)
        .motion(3.5, 3 * MOTION_BYTES_PER_S, end=True).event(3.5, events.TurnEnded("complete")).turn()
    )  # fmt: skip

    hop = slowest(hops(turn))
    assert hop is not None
    assert (hop.name, round(hop.seconds, 6)) == ("Motion Server, further motion", 2.0)


def test_speech_at_the_pace_of_its_playback() -> None:
    """Motion Server answers at once, and a player has no motion for as long as the audio is not there."""
    stream = Frames().event(0.0, events.TurnStarted())
    for at in range(8):
        stream.audio(at * 0.5, 0.5, end=at == 7)
        if at == 1:
            stream.motion(at * 0.5, MOTION_BYTES_PER_S // 2)
    stream.motion(3.6, 7 * MOTION_BYTES_PER_S // 2, end=True).event(3.6, events.TurnEnded("complete"))
    found = times(hops(stream.turn()))

    assert found["Motion Server, first motion"] == 0.5
    assert found["the pace of the speech"] == pytest.approx(2.5)
    assert found["Motion Server, further motion"] == pytest.approx(0.1)


def test_a_turn_of_which_little_is_left() -> None:
    """Without its beginning, or without audio, there is less to measure, or nothing."""
    assert hops(Frames().motion(0.0, 10).turn()) == []
    assert times(hops(Frames().audio(0.0, 1.0).motion(0.5, 10).turn())) == {
        "the speaker": 0.0, "Motion Server, first motion": 0.5, "the pace of the speech": 0.0,
        "Motion Server, further motion": 0.0,
    }  # fmt: skip
    assert hops(Frames().event(0.0, events.TurnStarted()).turn()) == []
    assert slowest([]) is None
    assert "too few frames" in verdict([])

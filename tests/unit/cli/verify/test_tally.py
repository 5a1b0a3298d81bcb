"""The totals and the verdict."""

from collections import Counter

import pytest
from tests.unit.cli.verify.test_turn import ANSWER, AUDIO, ENDED, PCM, STARTED, WHOLE, received

from relay_cli.verify.order import Order
from relay_cli.verify.recovery import Recovery
from relay_cli.verify.tally import Tally
from relay_cli.verify.turn import SpokenTurn
from relay_wire.position import Position

SPOKEN = SpokenTurn.of(1, PCM)


def test_nothing_compared_is_not_whole() -> None:
    """A run in which no turn arrived proves nothing."""
    assert not Tally().is_whole
    assert Tally().as_json()["audio_equal"] is False


def test_a_turn_at_two_viewers() -> None:
    """It is counted once, its motion for each viewer."""
    tally = Tally()
    tally.compare_turn("here", SPOKEN, [received(WHOLE), received(WHOLE)], [ANSWER])
    figures = tally.as_json()
    assert tally.is_whole
    assert (figures["turns"], figures["motion_frames"], figures["motion_checked"]) == (1, 4, 1)
    assert figures["audio_equal"] is True


def test_a_viewer_with_other_audio() -> None:
    """The failure names the viewer, and that the two received different frames."""
    tally = Tally()
    tally.compare_turn("here", SPOKEN, [received(WHOLE), received([STARTED, AUDIO[0], ENDED])], None)
    assert not tally.is_whole
    assert tally.as_json()["audio_equal"] is False
    assert any(failure.startswith("here, turn 1, viewer 2: its audio") for failure in tally.failures)
    assert "here, turn 1: viewers 1 and 2 received different frames" in tally.failures


@pytest.mark.parametrize(
    ("seqs", "failure"),
    [
        ((1, 3), "viewer: 1 frames lost"),
        ((1, 1), "viewer: 1 frames repeated"),
        ((1, 3, 2), "viewer: 1 frames reordered"),
    ],
)
def test_a_viewer_whose_frames_are_not_in_order(seqs: tuple[int, ...], failure: str) -> None:
    """Each count that is not zero is a failure."""
    tally, order = Tally(turns=1), Order()
    for seq in seqs:
        order.receive(Position(5, seq), None)
    tally.add_viewer("viewer", order, Recovery(), Counter({1006: 1}))
    assert tally.failures == [failure]
    assert tally.as_json()["close_codes"] == {"1006": 1}


def test_a_gap_fails() -> None:
    """A gap announces a loss."""
    tally, order = Tally(turns=1), Order()
    order.skip(Position(5, 5))
    tally.add_viewer("viewer", order, Recovery(), Counter())
    assert tally.failures == ["viewer: 1 gaps"]


def test_failures_are_kept_up_to_a_limit() -> None:
    """All of them are counted."""
    tally = Tally()
    for number in range(1000):
        tally.fail(str(number))
    assert tally.failed == 1000
    assert len(tally.failures) == 100

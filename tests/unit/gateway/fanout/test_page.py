"""Pages: frames without a hole, and the restart after a loss."""

import pytest
from tests.unit.gateway.fanout.streams import a_frame, at

from relay_gateway.fanout.page import restart, unbroken
from relay_wire import events
from relay_wire.position import START, Position


def test_frames_that_follow_are_kept() -> None:
    """All of them, when none is missing."""
    frames = [a_frame(4), a_frame(5)]

    assert unbroken(at(3), frames) == frames
    assert unbroken(at(3), []) == []


def test_frames_end_before_a_hole() -> None:
    """Within a page, and before its first frame."""
    frames = [a_frame(4), a_frame(6)]

    assert unbroken(at(3), frames) == frames[:1]
    assert unbroken(at(2), frames) == []


def test_generations_are_connected_by_the_owner_changed_event() -> None:
    """The first frame of a generation follows the position that it names."""
    first = a_frame(1, events.OwnerChanged("5-3"), generation=9)

    assert unbroken(at(3), [first]) == [first]
    assert unbroken(at(2), [first]) == []
    assert unbroken(at(3), [a_frame(1, generation=9)]) == []


@pytest.mark.parametrize(
    ("cursor", "first_left", "expected"),
    [
        (at(2), 5, at(9)),
        (at(2), 15, at(14)),
        (at(2), None, at(20)),
        (at(11), 15, at(14)),
        (at(11), None, at(20)),
        (START, 5, at(9)),
    ],
    ids=[
        "the turn is whole: its start",
        "the turn has lost its start: what is left",
        "nothing is left: the last frame wanted",
        "within the turn: what is left",
        "within the turn, nothing is left",
        "a new viewer",
    ],
)
def test_where_a_viewer_restarts(cursor: Position, first_left: int | None, expected: Position) -> None:
    """The current turn begins at 10; the frames up to 20 are wanted."""
    frames = [] if first_left is None else [a_frame(first_left)]

    assert restart(cursor, frames, turn_first=at(10), upto=at(20)) == expected

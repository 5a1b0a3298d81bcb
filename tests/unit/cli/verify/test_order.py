"""The order of one viewer's frames: what is lost, repeated or reordered is counted, and nothing else."""

import pytest

from relay_cli.verify.order import Order
from relay_wire import events
from relay_wire.events import OwnerChanged
from relay_wire.position import Position


def order_of(*seqs: int, generation: int = 5) -> Order:
    order = Order()
    order.begin(Position(generation, 0))
    for seq in seqs:
        order.receive(Position(generation, seq), None)
    return order


def counts(order: Order) -> tuple[int, int, int, int, int]:
    return order.frames, order.lost, order.repeated, order.reordered, order.gaps


@pytest.mark.parametrize(
    ("seqs", "expected"),
    [
        ((1, 2, 3), (3, 0, 0, 0, 0)),
        ((1, 2, 2, 3), (3, 0, 1, 0, 0)),
        ((1, 2, 1, 3), (3, 0, 1, 0, 0)),
        ((1, 4), (2, 2, 0, 0, 0)),
        ((1, 3, 2), (3, 0, 0, 1, 0)),
        ((1, 4, 3, 3), (3, 1, 1, 1, 0)),
    ],
)
def test_positions_within_a_generation(seqs: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Each frame is one of: new, repeated, reordered; what is missing in the end is lost."""
    assert counts(order_of(*seqs)) == expected


def test_a_new_generation_connects_to_the_last_frame() -> None:
    """The first frame of a generation names the one before it: nothing is lost when that has arrived."""
    order = order_of(1, 2)
    assert order.receive(Position(6, 1), OwnerChanged(after="5-2"))
    assert counts(order) == (3, 0, 0, 0, 0)


def test_a_new_generation_shows_what_is_missing_of_the_former() -> None:
    """Frames between the last that arrived and the one that owner_changed names are lost."""
    order = order_of(1, 2)
    order.receive(Position(6, 1), OwnerChanged(after="5-4"))
    assert counts(order) == (3, 2, 0, 0, 0)


@pytest.mark.parametrize("event", [None, events.TurnStarted(), OwnerChanged(after="4-1")])
def test_a_generation_that_begins_unconnected_has_lost_a_frame(event: events.Event | None) -> None:
    """Without a connection to the frame before, at least one frame is missing."""
    order = order_of(1)
    order.receive(Position(6, 1), event)
    assert order.lost == 1


def test_the_middle_of_a_new_generation_shows_what_is_missing_of_both() -> None:
    """The frames before it in its generation, and at least the one that ends the former, are lost."""
    order = order_of(1)
    order.receive(Position(6, 3), None)
    assert order.lost == 3


def test_a_generation_never_goes_backwards() -> None:
    """A frame of a former generation is a repetition."""
    order = order_of(1)
    order.receive(Position(6, 1), OwnerChanged(after="5-1"))
    assert not order.receive(Position(5, 2), None)
    assert order.repeated == 1


def test_an_announced_gap() -> None:
    """A gap is counted by itself; the frame after it follows."""
    order = order_of(1)
    order.skip(Position(5, 9))
    order.receive(Position(5, 10), None)
    assert counts(order) == (2, 0, 0, 0, 1)


def test_without_a_hello_the_first_frame_is_the_beginning() -> None:
    """Nothing before the first frame is due."""
    order = Order()
    order.receive(Position(5, 7), None)
    order.begin(Position(5, 3))
    order.receive(Position(5, 8), None)
    assert counts(order) == (2, 0, 0, 0, 0)


def test_a_hole_of_any_size_costs_little() -> None:
    """A position far ahead, as of a broken header, is counted without a set of all between."""
    assert order_of(1, 2**32 - 1).lost == 2**32 - 3

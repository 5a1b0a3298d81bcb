"""Positions: parsing, order, text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_wire.position import MAX_GENERATION, MAX_SEQ, START, Position, PositionError

positions = st.builds(Position, st.integers(0, MAX_GENERATION), st.integers(0, MAX_SEQ))


@given(positions)
def test_text_round_trip(position: Position) -> None:
    """What str() writes, parse() reads."""
    assert Position.parse(str(position)) == position


@given(st.text(max_size=40))
def test_any_text_is_a_position_or_refused(text: str) -> None:
    """Garbage raises PositionError and nothing else; what is accepted is canonical up to zeros."""
    try:
        position = Position.parse(text)
    except PositionError:
        return
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    ["", "-", "1", "1-", "-1", "a-1", "1-b", "+1-1", "1--1", " 1-1", "1-1 ", "1_0-1", "٣-١",
     f"{MAX_GENERATION + 1}-1", f"1-{MAX_SEQ + 1}", "1-1-1", "9" * 30 + "-1"],
)  # fmt: skip
def test_garbage_is_refused(text: str) -> None:
    """Signs, spaces, other scripts' digits and numbers out of range are not positions."""
    with pytest.raises(PositionError, match="not a position"):
        Position.parse(text)


def test_positions_order_by_generation_then_seq() -> None:
    """A later owner's first frame is after everything an earlier owner wrote."""
    assert START < Position(5, 1) < Position(5, 2) < Position(6, 1)


def test_the_cursor_before_a_frame_has_the_frame_as_its_next() -> None:
    """`before` is where to stand to get a frame."""
    assert Position(7, 3).before == Position(7, 2)

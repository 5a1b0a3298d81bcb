"""Retention: the current and the previous turn, up to a number of bytes."""

from hypothesis import given
from hypothesis import strategies as st

from relay_streams.retention import Retention
from relay_wire.position import START, Position


def at(seq: int, generation: int = 7) -> Position:
    return Position(generation, seq)


def test_frames_of_two_turns_stay() -> None:
    """A third turn removes the first."""
    retention = Retention(7, 1000)
    for seq, turn in enumerate([1, 1, 2, 2], start=1):
        retention.append(seq, turn, 10)
        assert retention.trim() in (None, at(1))
    retention.append(5, 3, 10)

    assert retention.trim() == at(3)
    assert (retention.turn, retention.turn_first, retention.turn_before) == (3, at(5), at(3))


def test_a_position_is_reported_once() -> None:
    """XTRIM runs when the oldest frame to keep changes, and not for each append."""
    retention = Retention(7, 1000, turn=1, turn_first=at(9, 3), turn_before=at(1, 3))
    retention.append(1, 2, 10)
    assert retention.trim() == at(9, 3)
    retention.append(2, 2, 10)
    assert retention.trim() is None


def test_more_bytes_than_the_limit() -> None:
    """The oldest frames go, though their turn is the current one; the newest stays whatever its size."""
    retention = Retention(7, 25)
    for seq in (1, 2, 3):
        retention.append(seq, 1, 10)
    assert retention.trim() == at(2)
    retention.append(4, 1, 1000)
    assert retention.trim() == at(4)
    retention.append(5, 1, 1)
    assert retention.trim() == at(5)


def test_a_turn_of_the_generation_before() -> None:
    """It stays while it is the previous one, and with it every frame of ours."""
    retention = Retention(7, 1000, turn=4, turn_first=at(5, 3))
    retention.append(1, 5, 10)
    assert retention.trim() == at(5, 3)
    retention.append(2, 6, 10)
    assert retention.trim() == at(1)


def test_nothing_appended() -> None:
    """Without frames nothing is trimmed, but what the record of the ownership before leaves."""
    assert Retention(7, 1000).trim() is None
    assert Retention(7, 1000, turn_before=at(3, 2)).trim() == at(3, 2)


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 50)), max_size=4), max_size=30),
    st.integers(1, 200),
)
def test_the_rule(appends: list[list[tuple[int, int]]], limit: int) -> None:
    """After each append exactly these frames are left: the two turns' last ones that fit the limit."""
    retention, frames, turn, kept_from = Retention(7, limit), [], 0, START
    for append in appends:
        for step, size in append:
            turn += step
            frames.append((turn, size))
            retention.append(len(frames), turn, size)
        kept_from = retention.trim() or kept_from
        turns = sorted({frame_turn for frame_turn, _ in frames if frame_turn > 0})
        first = 1
        if len(turns) > 1:
            first = 1 + next(i for i, frame in enumerate(frames) if frame[0] == turns[-2])
        while first < len(frames) and sum(size for _, size in frames[first - 1 :]) > limit:
            first += 1
        assert max(kept_from.seq, 1) == first

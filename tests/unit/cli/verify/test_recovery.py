"""Recovery: from the end of a connection to the next new frame."""

from relay_cli.verify.recovery import Recovery, distribution


def test_a_connection_that_ends_and_comes_back() -> None:
    """The first end counts, further ones before the next frame do not."""
    recovery = Recovery()
    recovery.receive(1, 10.0)
    recovery.disconnect(11.0)
    recovery.disconnect(11.5)
    recovery.receive(1, 12.0)
    recovery.receive(1, 12.1)
    assert recovery.times_ms == [1000.0]


def test_the_longest_stall_is_within_a_turn() -> None:
    """Time between turns is no stall, nor is the time to a frame of no turn."""
    recovery = Recovery()
    for turn, now in ((1, 1.0), (1, 1.5), (2, 9.0), (2, 9.25), (0, 40.0), (3, 41.0), (3, 41.25)):
        recovery.receive(turn, now)
    assert recovery.stall_ms == 500.0


def test_a_frame_of_no_turn_ends_no_stall() -> None:
    """A new owner publishes owner_changed before the next frame of the turn: the viewer still waits."""
    recovery = Recovery()
    for turn, now in ((1, 1.0), (0, 3.0), (1, 3.5)):
        recovery.receive(turn, now)
    assert recovery.stall_ms == 2500.0


def test_a_distribution() -> None:
    """Percentiles of what there is; None of nothing."""
    assert distribution([float(value) for value in range(1, 101)]) == {
        "count": 100, "p50": 51.0, "p90": 91.0, "p99": 100.0, "max": 100.0,
    }  # fmt: skip
    assert distribution([]) == {"count": 0, "p50": None, "p90": None, "p99": None, "max": None}

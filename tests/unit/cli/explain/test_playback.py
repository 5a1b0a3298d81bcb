"""Playback: where a player that starts with the first payload has nothing left to play."""

from relay_cli.explain.playback import Arrival, Stall, stalls


def test_payloads_in_time_make_no_stall() -> None:
    """Nor does the first one, however late it is, nor an empty list."""
    assert stalls([Arrival(5.0, 1.0), Arrival(5.5, 1.0), Arrival(7.0, 1.0)]) == []
    assert stalls([]) == []


def test_a_stall_delays_what_follows() -> None:
    """The second payload is half a second late, so the third is in time although it comes after 2 s."""
    found = stalls([Arrival(0.0, 1.0), Arrival(1.5, 1.0), Arrival(2.5, 1.0), Arrival(4.0, 0.0)])

    assert found == [Stall(1.5, 0.5, 2.0), Stall(4.0, 0.5, 3.0)]
    assert [stall.since_s for stall in found] == [1.0, 3.5]


def test_short_stalls_are_left_out() -> None:
    assert stalls([Arrival(0.0, 1.0), Arrival(1.01, 1.0)], least_s=0.02) == []

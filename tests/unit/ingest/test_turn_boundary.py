"""Turn boundaries: phases in, the earliest time of the next turn out."""

import asyncio

import pytest

from relay_ingest.turn_boundary import TurnBoundary, wall_ms


@pytest.fixture
def boundary(monkeypatch: pytest.MonkeyPatch) -> TurnBoundary:
    """Of a conversation between turns; the wall time is 1,000 s."""
    monkeypatch.setattr("time.time", lambda: 1000.0)
    return TurnBoundary("idle")


def test_a_turn_that_did_not_wait_is_ready_when_its_speech_is_stored(boundary: TurnBoundary) -> None:
    """Also the first turn of an owner, who does not know when the last one was over."""
    assert boundary.ready_ms(5) == 5
    boundary.follow("speaking")
    boundary.follow("playing")
    assert boundary.ready_ms(5) == 5
    boundary.follow("idle")
    assert boundary.ready_ms(2_000_000) == 2_000_000


def test_a_turn_that_waited_is_ready_when_the_last_one_is_over(
    boundary: TurnBoundary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first moment of that: being idle for longer changes nothing."""
    boundary.follow("playing")
    boundary.follow("idle")
    monkeypatch.setattr("time.time", lambda: 2000.0)
    boundary.follow("idle")
    assert boundary.ready_ms(5) == 1_000_000


@pytest.mark.parametrize("phase", ["playing", "idle"])
async def test_a_wait_ends_when_no_turn_is_spoken(phase) -> None:
    """Or when the owner stops in the middle of one."""
    boundary = TurnBoundary("idle")
    boundary.follow("speaking")
    waiting = asyncio.ensure_future(boundary.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    boundary.follow(phase)
    await waiting
    boundary.follow("speaking")
    boundary.release()
    await boundary.wait()


async def test_the_wall_time_of_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far ahead as the moment is on the loop's clock; none has none."""
    monkeypatch.setattr("time.time", lambda: 1000.0)
    assert wall_ms(None) == 0
    assert 1_001_900 <= wall_ms(asyncio.get_running_loop().time() + 2) <= 1_002_000

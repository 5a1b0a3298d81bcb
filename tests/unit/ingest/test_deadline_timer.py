"""The deadline timer: one callback, at the moment set last."""

import asyncio

from relay_ingest.deadline_timer import DeadlineTimer


async def later_timers() -> None:
    """Until a timer has run whose moment is after those of all timers that were due at the call."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.005, done.set)
    await done.wait()


async def test_the_moment_set_last_counts() -> None:
    """A later one replaces an earlier one, and none cancels it."""
    loop, calls = asyncio.get_running_loop(), asyncio.Queue[float]()
    timer = DeadlineTimer(lambda: calls.put_nowait(loop.time()))
    late = loop.time() + 0.05
    timer.set(loop.time())
    timer.set(late)
    assert await asyncio.wait_for(calls.get(), 5) >= late - 0.002
    timer.set(loop.time())
    timer.set(None)
    await later_timers()
    assert calls.empty()


async def test_a_closed_timer() -> None:
    """It never calls back, whatever is set."""
    loop, calls = asyncio.get_running_loop(), list[None]()
    timer = DeadlineTimer(lambda: calls.append(None))
    timer.set(loop.time())
    timer.close()
    timer.set(loop.time())
    await later_timers()
    assert calls == []

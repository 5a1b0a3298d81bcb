"""Jobs: their registry, their ticks, and what they share in a process."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import pytest

from relay_jobs.job import JOBS, TICKS, Resources, every, job
from relay_redis.client import RedisClient
from relay_settings.jobs import JobsSettings
from relay_streams.keys import KeySpace


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """What a test registers is gone after it."""
    jobs, ticks = dict(JOBS), dict(TICKS)
    yield
    for registry, before in ((JOBS, jobs), (TICKS, ticks)):
        cast("dict[str, Any]", registry).clear()
        cast("dict[str, Any]", registry).update(before)


def test_a_job_is_registered_by_name() -> None:
    """The function itself stays as it is, so that tests and other jobs can await it."""

    async def run(_resources: Resources, partition: int) -> None: ...

    assert job("part.verb", limit_s=3)(run) is run
    assert JOBS["part.verb"] == ("part.verb", run, 3)


def test_a_name_has_one_job() -> None:
    """A second registration is an error of the program, and changes nothing."""

    async def run(_resources: Resources) -> None: ...

    job("part.verb", limit_s=3)(run)
    with pytest.raises(ValueError, match=r"part\.verb"):
        job("part.verb", limit_s=4)(run)
    assert JOBS["part.verb"].limit_s == 3


def test_ticks_are_fixed_or_read_from_the_settings() -> None:
    """The interval of a tick may be a setting."""
    settings = JobsSettings.load(jobs_pulse_s=7)
    every("part.fixed", 2.5)
    every("part.set", lambda settings: settings.jobs_pulse_s)

    assert TICKS["part.fixed"].interval_s(settings) == 2.5
    assert TICKS["part.set"].interval_s(settings) == 7
    with pytest.raises(ValueError, match=r"part\.set"):
        every("part.set", 1)


async def test_what_jobs_share_is_opened_once_and_closed() -> None:
    """Of several calls the first opens, the others get the same; the end of the process closes it."""
    log: list[str] = []

    @asynccontextmanager
    async def session(_resources: Resources) -> AsyncIterator[str]:
        log.append("open")
        yield "session"
        log.append("close")

    async with AsyncExitStack() as stack:
        settings = JobsSettings.load()
        resources = Resources(settings, cast("RedisClient", None), KeySpace.of(settings), stack)
        assert [await resources.opened(session), await resources.opened(session)] == ["session"] * 2
        assert log == ["open"]
    assert log == ["open", "close"]


async def test_what_cannot_be_opened_is_tried_again() -> None:
    """The next job opens it."""
    attempts = iter([OSError("not yet"), None])

    @asynccontextmanager
    async def session(_resources: Resources) -> AsyncIterator[str]:
        failure = next(attempts)
        if failure is not None:
            raise failure
        yield "session"

    async with AsyncExitStack() as stack:
        settings = JobsSettings.load()
        resources = Resources(settings, cast("RedisClient", None), KeySpace.of(settings), stack)
        with pytest.raises(OSError, match="not yet"):
            await resources.opened(session)
        assert await resources.opened(session) == "session"

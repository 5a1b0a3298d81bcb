"""Workers: what they do with tasks that end badly, with a broker that cuts them off, and with signals."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.jobs_service import JobsRig

from relay_jobs.celery_app import celery_app
from relay_jobs.task_runner import MOST_AGAIN

Opened = Callable[..., AbstractAsyncContextManager[JobsRig]]

pytestmark = pytest.mark.timeout(150)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_cut_connections_are_consumed_from_again(jobs: Opened) -> None:
    """Each connection of the broker is closed three times within two seconds: a task runs within 30 s.

    A worker of Celery that keeps its process and consumes nothing after that is the classic failure. Each of
    three attempts has other times.
    """
    async with jobs() as rig:
        worker = await rig.worker()
        await rig.send("test.note", "before")
        await rig.until_notes("before")
        for attempt in range(3):
            for _ in range(3):
                await rig.broker.execute("CLIENT", "KILL", "TYPE", "normal", key="")
                await asyncio.sleep(0.6 + 0.1 * attempt)

            await rig.send("test.note", f"after {attempt}")
            await rig.until_notes(f"after {attempt}", within_s=30)

            await rig.until_ready(worker)
            assert await rig.status(worker, "livez") == 200


async def test_a_task_whose_process_is_killed_runs_again(jobs: Opened) -> None:
    """The worker returns it to the broker at once, and continues with another process."""
    async with jobs() as rig:
        worker = await rig.worker()
        await rig.send("test.hold", "go")
        os.kill(await rig.until_began("go"), signal.SIGKILL)

        await rig.until_began("go", 2)
        await rig.store.client.execute("SET", "go", 1)
        await _until_ended(rig, "go")

        assert (
            await rig.metric(worker, "relay_jobs_tasks_started_total", task="test.hold", delivery="again")
            == 1
        )
        assert await rig.metric(worker, "relay_jobs_worker_restarts_total") == 0


async def test_a_task_whose_worker_is_killed_runs_again(jobs: Opened) -> None:
    """Another worker has it once its time limit is over."""
    async with jobs(jobs_limit_s=1) as rig:
        worker = await rig.worker()
        await rig.send("test.hold", "go")
        process = await rig.until_began("go")
        celery = _parent(process)
        worker.signal(signal.SIGKILL)
        os.killpg(celery, signal.SIGKILL)
        await worker.wait()
        await rig.worker()

        await rig.until_began("go", 2, within_s=40)

        assert not _lives(process)


async def test_a_worker_killed_while_it_looks_for_lost_tasks_delays_them_little(jobs: Opened) -> None:
    """The lock under which it looks is Kombu's, and held as by a process that is gone."""
    async with jobs(jobs_limit_s=1) as rig:
        app = celery_app(rig.settings)

        def leave_locked() -> None:
            with app.connection_for_write() as connection, connection.channel() as channel:
                lock = channel.client.lock(channel.unacked_mutex_key, timeout=channel.unacked_mutex_expire)
                assert lock.acquire(blocking_timeout=10)

        worker = await rig.worker()
        await rig.send("test.hold", "go")
        celery = _parent(await rig.until_began("go"))
        worker.signal(signal.SIGKILL)
        os.killpg(celery, signal.SIGKILL)
        await worker.wait()
        await asyncio.to_thread(leave_locked)
        await rig.worker()

        await rig.until_began("go", 2, within_s=40)


async def test_nothing_of_a_worker_outlives_its_supervisor(jobs: Opened) -> None:
    """Celery's processes end with the process that started them, also when that is killed."""
    async with jobs(jobs_limit_s=2) as rig:
        worker = await rig.worker()
        await rig.send("test.hold", "go")
        process = await rig.until_began("go")
        celery = _parent(process)
        worker.signal(signal.SIGKILL)

        await eventually(lambda: not _lives(process) and not _lives(celery), 20)


async def test_a_worker_that_no_restart_helps_is_not_alive(
    jobs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Celery processes cannot start: it is not ready, and after three attempts it is not alive."""
    monkeypatch.setenv("RIG_CHILD", "no role")
    async with jobs() as rig:
        worker = await rig.start("worker")
        assert await rig.status(worker, "livez") == 200
        assert await rig.status(worker, "readyz") == 503
        await eventually(lambda: rig.status(worker, "livez"), 40, until=lambda status: status == 503)

        assert await rig.metric(worker, "relay_jobs_worker_restarts_total", reason="ended") >= 3


async def test_a_task_is_cancelled_at_its_time_limit(jobs: Opened) -> None:
    """It is counted, it is not delivered again, and its process goes on."""
    async with jobs(jobs_limit_s=1, jobs_concurrency=1) as rig:
        worker = await rig.worker()
        await rig.send("test.hold", "never")
        process = await rig.until_began("never")
        await rig.send("test.note", "after")
        await rig.until_notes("after")

        ended = {"task": "test.hold", "outcome": "timeout"}
        assert await rig.metric(worker, "relay_jobs_tasks_ended_total", **ended) == 1
        assert len(await rig.notes("never:began")) == 1
        assert _lives(process)


async def _sent_again(rig: JobsRig) -> bool:
    await rig.send("test.note", "after")
    await asyncio.sleep(0.5)
    return "after" in await rig.notes()


async def _until_ended(rig: JobsRig, key: str) -> None:
    await eventually(lambda: rig.notes(f"{key}:ended"))


async def test_a_worker_that_makes_no_progress_is_started_anew(jobs: Opened) -> None:
    """Its processes live and its connections stand, but no pulse returns; tasks run after that."""
    async with jobs(jobs_stalled_s=2) as rig:
        worker = await rig.worker()
        await rig.send("test.hold", "go")
        process = await rig.until_began("go")
        await rig.store.client.execute("SET", "go", 1)
        await _until_ended(rig, "go")
        celery = _parent(process)
        os.kill(celery, signal.SIGSTOP)

        # What the broker hands to a stopped process at first is lost with it: tasks are hints.
        await eventually(partial(_sent_again, rig), 40)

        assert not _lives(celery)
        assert await rig.metric(worker, "relay_jobs_worker_restarts_total", reason="stalled") == 1
        await rig.until_ready(worker)
        assert await rig.status(worker, "livez") == 200


async def test_a_start_that_takes_long_is_no_stall(jobs: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes more than twice the time of a stall: the worker waits for it, within the time of a start."""
    monkeypatch.setenv("RIG_CHILD_START_S", "4")
    async with jobs(jobs_stalled_s=1) as rig:
        worker = await rig.worker()
        assert await rig.metric(worker, "relay_jobs_worker_restarts_total") == 0


async def test_a_start_that_takes_too_long_is_begun_anew(
    jobs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time of a start and that of a stall; the worker is not ready, and is alive at first."""
    monkeypatch.setenv("RIG_CHILD_START_S", "60")
    async with jobs(jobs_stalled_s=0.5, jobs_start_s=0.5) as rig:
        worker = await rig.start("worker")
        await eventually(
            lambda: rig.metric(worker, "relay_jobs_worker_restarts_total", reason="stalled"),
            20,
            until=lambda count: count >= 1,
        )
        assert await rig.status(worker, "readyz") == 503


async def test_a_worker_whose_processes_are_all_busy_makes_progress(jobs: Opened) -> None:
    """A pulse that waits for them shows nothing: they are not killed for it."""
    async with jobs(jobs_stalled_s=1, jobs_limit_s=60) as rig:
        worker = await rig.worker()
        for key in ("one", "two"):
            await rig.send("test.hold", key)
            await rig.until_began(key)
        await asyncio.sleep(2.5)
        for key in ("one", "two"):
            await rig.store.client.execute("SET", key, 1)
            await _until_ended(rig, key)
            assert len(await rig.notes(f"{key}:began")) == 1

        assert await rig.metric(worker, "relay_jobs_worker_restarts_total") == 0


async def test_the_level_of_the_log_reaches_the_processes_that_run_tasks(jobs: Opened) -> None:
    """With their next task; those that are started later begin with it."""
    async with jobs(log_level="info", jobs_concurrency=1) as rig:
        worker = await rig.worker()

        async def lines(text: str) -> int:
            await rig.send("test.note", text)
            await rig.until_notes(text)
            return (await asyncio.to_thread(worker.log_path.read_text)).count('"event": "task ended"')

        assert await lines("before") == 0
        async with rig.http.put(f"{worker.admin}/loglevel", json={"level": "debug"}) as response:
            assert response.status == 200
        before = await eventually(partial(lines, "after"), 20, until=lambda count: count > 0)

        await rig.send("test.hold", "go")
        os.kill(_parent(await rig.until_began("go")), signal.SIGKILL)
        await rig.store.client.execute("SET", "go", 1)
        await eventually(
            lambda: rig.metric(worker, "relay_jobs_worker_restarts_total"), 20, until=lambda count: count == 1
        )
        await eventually(partial(lines, "anew"), 40, until=lambda count: count > before + 1)


async def test_sigterm_lets_tasks_end(jobs: Opened) -> None:
    """What runs ends within the time of the drain, what waits stays in the broker, and the exit is clean."""
    async with jobs(jobs_concurrency=1) as rig:
        worker = await rig.worker()
        await rig.send("test.hold", "go")
        await rig.until_began("go")
        worker.signal(signal.SIGTERM)
        await rig.send("test.note", "later")
        await rig.store.client.execute("SET", "go", 1)

        assert await worker.wait() == 0
        assert len(await rig.notes("go:ended")) == 1
        await rig.worker()
        await rig.until_notes("later")


async def test_a_task_that_outlasts_the_drain_returns_to_the_broker(jobs: Opened) -> None:
    """It is ended with its worker, and the next worker has it at once."""
    async with jobs(drain_s=0.5, jobs_limit_s=60) as rig:
        worker = await rig.worker()
        await rig.send("test.hold", "go")
        process = await rig.until_began("go")
        worker.signal(signal.SIGTERM)

        assert await worker.wait() == 0
        assert not _lives(process)
        await rig.worker()
        await rig.until_began("go", 2)


async def test_tasks_that_end_badly(jobs: Opened) -> None:
    """One fails, one blocks, one kills its process each time: each is counted, and the tasks after it run.

    The first two are not repeated; the third is abandoned after its first delivery and three more.
    """
    async with jobs(jobs_concurrency=1) as rig:
        worker = await rig.worker()

        async def ended(task: str, outcome: str) -> float:
            return await rig.metric(worker, "relay_jobs_tasks_ended_total", task=task, outcome=outcome)

        await rig.send("test.fail")
        await rig.send("test.block", "wall")
        await rig.until_began("wall")
        await rig.send("test.note", "next")
        await rig.until_notes("next")

        assert await ended("test.fail", "failed") == 1
        assert await ended("test.block", "lost") == 1
        assert await ended("test.note", "done") == 1
        assert len(await rig.notes("wall:began")) == 1
        assert "as planned" in worker.log_tail(100_000)

        await rig.send("test.die", "fatal")
        await eventually(lambda: ended("test.die", "abandoned"), 60, until=lambda count: count == 1)
        await rig.send("test.note", "last")
        await rig.until_notes("last")

        assert len(await rig.notes("fatal:began")) == 1 + MOST_AGAIN
        assert await ended("test.die", "abandoned") == 1
        assert await rig.metric(worker, "relay_jobs_worker_restarts_total") == 0


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

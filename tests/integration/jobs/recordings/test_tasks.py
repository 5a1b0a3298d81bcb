"""The jobs of recordings, run by real workers that are killed, late and away."""

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack, nullcontext
from functools import partial
from pathlib import Path

import pytest
from tests.rigs import object_storage
from tests.rigs.eventually import eventually
from tests.rigs.jobs_service import JobsChild, JobsRig
from tests.rigs.object_storage import Place
from tests.rigs.recorded import frame
from tests.rigs.recorder import Recorder

from relay_wire.frame import Kind
from relay_wire.position import Position
from relay_wire.recording.blocks import part

pytestmark = pytest.mark.timeout(150)

SETTINGS = {"recordings_claim_s": 1.0, "recordings_interval_s": 0.5, "jobs_limit_s": 60.0}
BIG = bytes(range(256)) * 2500
"""Audio of a turn whose two frames are 312 KiB each."""


async def recorder(stack: AsyncExitStack, rig: JobsRig, place: Place, retention: int = 64 << 20) -> Recorder:
    """A conversation at the rig's store that is listed for the workers."""
    found = await Recorder.open(stack, lambda: nullcontext(rig.store), place, retention=retention)
    await found.recordings.register(found.lease.keys.id, within_ms=0)
    return found


async def is_finished(found: Recorder) -> bool:
    return await found.store.client.execute("HGET", found.lease.keys.meta, "rec_state") == b"finished"


async def cursor(found: Recorder) -> str:
    return (await found.store.client.execute("HGET", found.lease.keys.meta, "rec_cursor") or b"").decode()


def send_signal(worker: JobsChild, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a worker and to all of its processes, at once."""
    children = [
        int(pid) for pid in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    ]
    worker.signal(number)
    for child in children:
        os.killpg(child, number)


def signal_while_it_finishes(
    worker: JobsChild, folder: Path, number: signal.Signals = signal.SIGKILL
) -> bool:
    """Wait until a recording is being written into a folder, and signal the worker then. Blocks."""
    until = time.monotonic() + 40
    while time.monotonic() < until:
        if list(folder.glob(".writing-*.avrec.*")):
            send_signal(worker, number)
            return True
        time.sleep(0.01)
    return False


async def test_a_conversation_becomes_its_files_without_any_hint(jobs, place: Place) -> None:
    """Events that were discarded and tasks that were lost delay a recording, nothing else."""
    async with jobs(**SETTINGS, **place.settings) as rig, AsyncExitStack() as stack:
        found = await recorder(stack, rig, place)
        _, beat = await asyncio.gather(rig.worker(), rig.start("beat"))
        await found.turn(1)
        await eventually(lambda: cursor(found), 30, until=lambda at: at.endswith("-6"))
        await found.turn(2)
        await found.end()
        await eventually(lambda: is_finished(found), 30)

        assert (await found.read())[0] == found.published
        assert await found.stored() == [found.names.recording, found.names.speech]
        assert beat.alive


async def test_hints_are_followed_at_once(jobs, tmp_path: Path, place: Place) -> None:
    """Without beat: each task does what its event asks for, and repeats of it nothing."""
    async with jobs(**SETTINGS, **place.settings) as rig, AsyncExitStack() as stack:
        found = await recorder(stack, rig, place)
        worker = await rig.worker()
        name, partition = found.lease.keys.id, found.lease.keys.partition
        await found.turn(1)
        for _ in range(3):
            await rig.send("recordings.copy", partition, name)
        await eventually(lambda: cursor(found), 30, until=lambda at: at.endswith("-6"))
        await found.end()
        await eventually(lambda: _finish(rig, found), 30)
        await rig.send("recordings.finish", partition, name)
        await rig.send("recordings.copy", partition, name)
        await rig.send("recordings.copy", 0, "unknown")

        assert (await found.read())[0] == found.published
        await eventually(
            lambda: rig.metric(
                worker, "relay_jobs_tasks_ended_total", task="recordings.copy", outcome="done"
            ),
            20,
            until=lambda done: done >= 5,
        )
        assert await rig.metric(worker, "relay_jobs_recordings_finished_total") == 1
        assert await rig.metric(worker, "relay_jobs_recording_failures_total") == 0


async def _finish(rig: JobsRig, found: Recorder) -> bool:
    await rig.send("recordings.finish", found.lease.keys.partition, found.lease.keys.id)
    return await is_finished(found)


async def test_a_worker_that_is_killed_while_it_copies(jobs, place: Place) -> None:
    """Another one continues: no frame is lost, none is there twice."""
    async with jobs(**SETTINGS, **place.settings) as rig, AsyncExitStack() as stack:
        found = await recorder(stack, rig, place)
        for number in range(1, 31):
            await found.turn(number, BIG)
        await found.end()
        await rig.start("beat")
        for _ in range(3):
            worker = await rig.worker()
            before = await cursor(found)
            await eventually(partial(_moved, found, before), 30)
            await asyncio.to_thread(send_signal, worker)
            await worker.wait()
        await rig.worker()
        await eventually(lambda: is_finished(found), 60)

        items, index = await found.read()
        assert (items, index.gaps) == (found.published, [])


async def _moved(found: Recorder, before: str) -> bool:
    return await cursor(found) != before or await is_finished(found)


def store_before(found: Recorder) -> list[bytes]:
    """Store parts of an earlier owner, with so many bytes that joining takes long; returns their frames."""
    frames: list[bytes] = []
    for number in range(100):
        payload = bytes([number]) * 100_000
        positions = [Position(1, number * 10 + seq) for seq in range(1, 11)]
        own = [frame(position, 0, Kind.AUDIO, payload, at_us=1) for position in positions]
        found.place.storage.put(found.names.part(positions[0], positions[-1]), part(own))
        frames += own
    return frames


async def test_a_worker_that_is_killed_while_it_finishes(jobs, tmp_path: Path) -> None:
    """The file appears whole, its parts are there until then, and what the killed worker wrote is removed."""
    place = object_storage.folder(tmp_path)
    async with jobs(**SETTINGS, **place.settings) as rig, AsyncExitStack() as stack:
        found = await recorder(stack, rig, place)
        before = await asyncio.to_thread(store_before, found)
        await found.turn(1)
        await found.end()
        worker = await rig.worker()
        folder = Path(place.url) / found.names.folder.partition("/")[0]
        killing = asyncio.create_task(asyncio.to_thread(signal_while_it_finishes, worker, folder))
        await rig.send("recordings.finish", found.lease.keys.partition, found.lease.keys.id)
        assert await killing
        await worker.wait()
        assert [name for name in await found.stored() if name == found.names.recording] == []
        await rig.start("beat")
        await rig.worker()
        await eventually(lambda: is_finished(found), 60)

        items, index = await found.read()
        assert items[1:] == before + found.published  # the first is a gap: the earlier owner's first frame
        assert len(index.gaps) == 1
        assert await found.stored() == [found.names.recording, found.names.speech]


async def test_a_worker_that_loses_its_claim_while_it_finishes(jobs, tmp_path: Path) -> None:
    """It ends without a failure, whatever became of the files under it: another one has the recording."""
    place = object_storage.folder(tmp_path)
    async with jobs(**SETTINGS, **place.settings) as rig, AsyncExitStack() as stack:
        found = await recorder(stack, rig, place)
        name, partition = found.lease.keys.id, found.lease.keys.partition
        await asyncio.to_thread(store_before, found)
        await found.turn(1)
        await found.end()
        worker = await rig.worker()
        folder = Path(place.url) / found.names.folder.partition("/")[0]
        stopping = asyncio.create_task(
            asyncio.to_thread(signal_while_it_finishes, worker, folder, signal.SIGSTOP)
        )
        await rig.send("recordings.finish", partition, name)
        assert await stopping
        claim = await eventually(lambda: found.recordings.claim(name, "another"), 20)
        await found.join(claim)
        assert await found.recordings.release(claim, next_ms=None)
        await asyncio.to_thread(send_signal, worker, signal.SIGCONT)

        await eventually(
            lambda: rig.metric(
                worker, "relay_jobs_tasks_ended_total", task="recordings.finish", outcome="done"
            ),
            30,
            until=lambda done: done == 1,
        )
        assert await rig.metric(worker, "relay_jobs_recording_failures_total") == 0
        assert await rig.metric(worker, "relay_jobs_recordings_finished_total") == 0
        assert await found.stored() == [found.names.recording, found.names.speech]


async def test_a_storage_that_is_away(jobs, tmp_path: Path) -> None:
    """Each attempt that fails is counted; when it is back, nothing is missing."""
    place = Place(str(tmp_path / "away" / "recordings"))
    (tmp_path / "away").write_text("a file where the folder should be")
    async with jobs(**SETTINGS, **place.settings) as rig, AsyncExitStack() as stack:
        found = await recorder(stack, rig, place)
        worker = await rig.worker()
        await rig.start("beat")
        await found.turn(1)
        await eventually(
            lambda: rig.metric(worker, "relay_jobs_recording_failures_total", step="copy"),
            30,
            until=lambda failures: failures >= 2,
        )
        dispatcher = await rig.start("dispatcher")
        for name in ("relay_jobs_unfinished_recordings", "relay_jobs_recordings_overdue_seconds"):
            await eventually(partial(rig.metric, dispatcher, name), 20)
        (tmp_path / "away").unlink()
        await found.end()
        await eventually(lambda: is_finished(found), 30)

        assert (await found.read())[0] == found.published


async def test_files_past_their_days_are_removed(jobs, tmp_path: Path) -> None:
    """By the task of beat; those of an unfinished recording and those of others stay."""
    place = object_storage.folder(tmp_path)
    async with jobs(**SETTINGS, **place.settings, recordings_keep_days=1.0) as rig, AsyncExitStack() as stack:
        found = await recorder(stack, rig, place)
        worker = await rig.worker()
        storage = place.storage

        def arrange() -> None:
            old = time.time() - 2 * 86_400
            for name in (
                "2020-01-01/a.avrec",
                "2020-01-01/a.wav",
                "2020-01-01/notes.txt",
                f"{found.names.parts}/1-1_1-2",
            ):
                storage.put(name, b"1")
                os.utime(f"{place.url}/{name}", (old, old))
            storage.put("2020-01-01/young.avrec", b"1")

        await asyncio.to_thread(arrange)
        await rig.send("recordings.expire")
        await eventually(
            lambda: rig.metric(worker, "relay_jobs_recording_files_removed_total"),
            20,
            until=lambda count: count == 2,
        )

        assert await found.stored() == [
            f"{found.names.parts}/1-1_1-2",
            "2020-01-01/notes.txt",
            "2020-01-01/young.avrec",
        ]


async def test_a_worker_without_a_place(jobs) -> None:
    """A relay whose control records and whose workers do not know where: counted, and nothing is lost."""
    async with jobs(**SETTINGS) as rig, AsyncExitStack() as stack:
        found = await recorder(stack, rig, Place(""))
        worker = await rig.worker()
        await rig.send("recordings.copy", found.lease.keys.partition, found.lease.keys.id)

        await eventually(
            lambda: rig.metric(worker, "relay_jobs_recording_failures_total", step="copy"),
            20,
            until=lambda n: n == 1,
        )
        assert await found.recordings.is_pending(found.lease.keys.id)

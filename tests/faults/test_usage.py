"""Usage of a relay whose processes are killed: equal to what the records of its viewers show."""

import signal
from collections import Counter
from typing import Any

import pytest
import uvloop
from tests.faults.lab import Lab, Setup, Talk, open_lab
from tests.faults.verifier import Verdict
from tests.rigs.eventually import eventually

from relay_client.resources import DailyUsage

SETTINGS = {
    "RELAY_USAGE_SETTLE_S": "0.5",
    "RELAY_USAGE_GRACE_S": "3",
    "RELAY_USAGE_SESSION_S": "20",
    "RELAY_JOBS_CONCURRENCY": "1",
}
_HEADER_BYTES = 32
_AUDIO, _MOTION = 1, 2
_SAMPLE_RATE = 16000


async def replace(lab: Lab, role: str) -> None:
    """Kill a process of the jobs service as a crash does, and start it again."""
    (child,) = (child for child in lab.stack.jobs if child.name == role)
    child.signal(signal.SIGKILL)
    await child.stop()
    await child.start()


@pytest.mark.timeout(180)
def test_usage_is_what_viewers_got() -> None:
    """An ingest worker, dispatchers and a worker of jobs are killed: every byte and turn counts once."""
    uvloop.run(_usage_is_what_viewers_got())


async def _usage_is_what_viewers_got() -> None:
    setup = Setup(conversations=3, viewers=2, workers=2, jobs=True, settings=SETTINGS)
    async with open_lab(setup) as lab:
        await replace(lab, "dispatcher")
        (await lab.owner_of(lab.talks[0])).signal(signal.SIGKILL)
        await lab.add_worker()
        await lab.turns(2)
        await replace(lab, "worker")
        await replace(lab, "dispatcher")
        await lab.turns(1)
        await lab.finish()
        verdict = await lab.judge()
        assert (verdict.whole, lab.problems) == (True, [])
        await _compare(lab, verdict)


async def _compare(lab: Lab, verdict: Verdict) -> None:
    expected = sum((_received(talk) for talk in lab.talks), Counter[str]())
    assert verdict.total("checked") > 0
    assert expected["conversations"] == 3

    async def counted() -> Counter[str]:
        return sum(map(_counts, await lab.backend.usage()), Counter[str]())

    found = await eventually(counted, 40, until=lambda counts: counts == expected)
    assert found == expected

    async def settled() -> Any:
        rows = await lab.backend.usage()
        return rows if sum(row.motion_estimated_s for row in rows) > 0 else None

    rows: list[DailyUsage] = await eventually(settled, 40)
    assert sum(row.speech_s for row in rows) == pytest.approx(
        expected["audio_bytes"] / (2 * _SAMPLE_RATE), abs=1e-5
    )
    motion_s = sum(row.motion_s for row in rows)
    assert motion_s > sum(row.motion_estimated_s for row in rows), "most sessions closed as they should"
    assert sum(row.credits for row in rows) >= motion_s / 6
    # Gateways report the time of their viewers periodically, so that the last report may be missing.
    watched_s = sum(viewer.record[-1].at - viewer.record[0].at for viewer in lab.viewers)
    assert 0 < sum(row.viewer_minutes for row in rows) * 60 < watched_s + 1


def _received(talk: Talk) -> Counter[str]:
    """What one viewer of a conversation got. The verdict shows that the others got the same."""
    counts = Counter({"conversations": 1})
    for sighting in talk.viewers[0].record:
        if not sighting.position[1]:
            continue
        frame = talk.tape.frames[sighting.position]
        size = len(frame) - _HEADER_BYTES
        counts["audio_bytes"] += size if frame[1] == _AUDIO else 0
        counts["motion_bytes"] += size if frame[1] == _MOTION else 0
        event = sighting.event or {}
        if event.get("type") == "turn_ended":
            counts[f"turns_{event['outcome']}"] += 1
    return counts


def _counts(row: DailyUsage) -> Counter[str]:
    names = ("complete", "audio_only", "interrupted", "failed")
    return Counter(
        {
            "conversations": row.conversations,
            "audio_bytes": row.audio_bytes,
            "motion_bytes": row.motion_bytes,
            **{name: value for name in (f"turns_{one}" for one in names) if (value := getattr(row, name))},
        }
    )

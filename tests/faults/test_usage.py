"""Usage of a relay whose processes are killed: equal to what viewers got, and to what the vendor bills."""

import math
import signal
from collections import Counter
from typing import Any

import pytest
import uvloop
from tests.faults.lab import Lab, Setup, Talk, open_lab
from tests.faults.verifier import Verdict
from tests.rigs.eventually import eventually

from relay_client.resources import DailyUsage
from relay_wire.billing import credits_of

SETTINGS = {
    "RELAY_USAGE_SETTLE_S": "0.5",
    "RELAY_USAGE_GRACE_S": "3",
    "RELAY_USAGE_SESSION_S": "20",
    "RELAY_JOBS_CONCURRENCY": "1",
}
_HEADER_BYTES = 32
_AUDIO, _MOTION = 1, 2
_SAMPLE_RATE = 16000
_LEASE_S = 2.0
"""Of the conversations: an owner that has not renewed for so long has none."""


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


@pytest.mark.timeout(180)
def test_motion_is_what_the_vendor_bills() -> None:
    """Sessions that end, fail or change owners count exactly; those of a killed worker are estimates."""
    uvloop.run(_motion_is_what_the_vendor_bills())


async def _motion_is_what_the_vendor_bills() -> None:
    settings = SETTINGS | {"RELAY_MOTION_SESSION_S": "4"}
    async with open_lab(Setup(conversations=3, viewers=1, workers=2, jobs=True, settings=settings)) as lab:
        await _fail_a_session(lab)
        await _hand_over(lab)
        await lab.turns(2)
        killed = await _kill_between_turns(lab)
        await lab.turns(2)
        await lab.finish()
        verdict = await lab.judge()
        assert (verdict.whole, lab.problems) == (True, [])
        bills = await _bills(lab)
        assert len(bills) > 3 * len(killed)
        await _compare_motion(lab, bills, killed)


async def _fail_a_session(lab: Lab) -> None:
    """The next session that is opened fails at its first payload."""
    assert lab.stack.simulator is not None
    fault = {"at": "session", "fault": "close", "code": 4002}
    async with lab.http.post(f"{lab.stack.simulator.url}/admin/faults", json=fault) as armed:
        assert armed.status == 204


async def _hand_over(lab: Lab) -> None:
    leaving = await lab.owner_of(lab.talks[0])
    await lab.add_worker()
    leaving.signal(signal.SIGTERM)
    assert await leaving.wait() == 0


async def _kill_between_turns(lab: Lab) -> set[str]:
    """Kill a worker; returns its sessions, which are open since no turn could replace them."""
    for talk in lab.talks:
        talk.speaker.hold()
    await lab.until(
        lambda: all(talk.speaker.silent and talk.ended == talk.turn for talk in lab.talks), "silence"
    )
    victim = await lab.owner_of(lab.talks[0])
    avatars = {talk.avatar_id for talk in await lab.owned_by(victim)}
    sessions = (await lab.simulator("connections"))["sessions"]
    victim.signal(signal.SIGKILL)
    for talk in lab.talks:
        talk.speaker.go_on()
    return {session["connection_id"] for session in sessions if session["avatar_id"] in avatars}


async def _bills(lab: Lab) -> list[dict[str, Any]]:
    """What the vendor bills, once every session is closed."""

    async def closed() -> list[dict[str, Any]] | None:
        sessions: list[dict[str, Any]] = (await lab.simulator("sessions"))["sessions"]
        return None if any(session["closed_at"] is None for session in sessions) else sessions

    bills: list[dict[str, Any]] = await eventually(closed, 20)
    return bills


async def _compare_motion(lab: Lab, bills: list[dict[str, Any]], killed: set[str]) -> None:
    """Within a second for each session whose owner lived; an estimate ends before the next session begins."""
    estimated = [bill for bill in bills if bill["connection_id"] in killed]
    lived = [bill for bill in bills if bill not in estimated]
    assert len(estimated) == len(killed) > 0
    seconds = [sum(max(bill["seconds"] + change, 0) for bill in lived) for change in (-1, 1)]
    credits_ = [sum(credits_of(max(bill["seconds"] + change, 0)) for bill in lived) for change in (-1, 1)]
    least_s = sum(max(bill["seconds"] - _LEASE_S - 1, 0) for bill in estimated)
    most_s = sum(_until_the_next(bill, bills) + 1 for bill in estimated)

    async def differences() -> dict[str, tuple[float, float, float]]:
        rows = await lab.backend.usage()
        compared = {
            "seconds": (seconds[0], sum(row.motion_s - row.motion_estimated_s for row in rows), seconds[1]),
            "credits": (credits_[0], sum(row.credits - row.credits_estimated for row in rows), credits_[1]),
            "estimated": (least_s, sum(row.motion_estimated_s for row in rows), most_s),
            "of estimates": (len(killed), sum(row.credits_estimated for row in rows), math.inf),
        }
        return {name: each for name, each in compared.items() if not each[0] <= each[1] <= each[2]}

    await eventually(differences, 60, until=lambda found: not found)


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


def _until_the_next(bill: dict[str, Any], bills: list[dict[str, Any]]) -> float:
    """From the opening of a session to that of the next one of its conversation, in seconds."""
    opened_at: float = bill["opened_at"]
    return min(
        other["opened_at"] - opened_at
        for other in bills
        if other["avatar_id"] == bill["avatar_id"] and other["opened_at"] > opened_at
    )


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

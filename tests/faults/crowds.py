"""Faults of many at once: an avalanche, and connections that never last."""

import asyncio
import random

from tests.faults.lab import Lab, Talk
from tests.faults.recording_viewer import RecordingViewer
from tests.faults.scenario import scenario
from tests.faults.verifier import percentile

_OFFLINE_S = 2.0
_EVERY_S = 15.0
_ANYCABLE_S = {"p50": 0.25, "p95": 4.1, "p99": 6.1}
"""What AnyCable's own benchmark of this shape shows."""


@scenario("1,000 viewers are disconnected at once; all resume.", bound_ms=5000, conversations=2, viewers=500,
          chunk_ms=500, turn_ms=3000)  # fmt: skip
async def avalanche(lab: Lab) -> None:
    lab.mark()
    for viewer in lab.viewers:
        viewer.cut()
    await lab.turns(1)
    lab.notes["viewers"] = len(lab.viewers)
    lab.check(all(viewer.report.resumes for viewer in lab.viewers), "every viewer was cut")


@scenario(
    "Every connection breaks about every 15 s, for 2 s: every frame arrives nevertheless.",
    bound_ms=1000, conversations=4, viewers=10, lasts_s=25,
)  # fmt: skip
async def jitter(lab: Lab) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + lab.setup.lasts_s
    returns: list[tuple[Talk, RecordingViewer, float]] = []

    async def fall(talk: Talk, viewer: RecordingViewer, noise: random.Random) -> None:
        at = loop.time() + noise.uniform(0, _EVERY_S)
        while at + _OFFLINE_S < until:
            await asyncio.sleep(at - loop.time())
            returns.append((talk, viewer, viewer.leave_for(_OFFLINE_S)))
            at += noise.uniform(0.7, 1.3) * _EVERY_S

    async with asyncio.TaskGroup() as tasks:
        for talk in lab.talks:
            for viewer in talk.viewers:
                tasks.create_task(fall(talk, viewer, random.Random(viewer.name)))
    await lab.finish()
    lab.measured_ms = [_catch_up_s(*one) * 1000 for one in returns]
    shares = {name: percentile(lab.measured_ms, int(name[1:]) / 100) or 0 for name in _ANYCABLE_S}
    lab.notes |= {"cuts": len(returns), "catch_up_ms": shares}
    for name, theirs in _ANYCABLE_S.items():
        lab.check(shares[name] < theirs * 1000, f"catch-up {name} is {shares[name]:.0f} ms")


def _catch_up_s(talk: Talk, viewer: RecordingViewer, back_at: float) -> float:
    """From the moment the network is back until the viewer has all that was published before it."""
    missed = (
        one.at
        for one in viewer.record
        if one.at > back_at and one.position[1] and talk.tape.publications[one.position].at <= back_at
    )
    return max(missed, default=back_at) - back_at

"""Faults of replicated Redis: Sentinel and Cluster fail-overs, a lost tail, slots that move."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from redis import RedisError
from redis.asyncio import Redis
from tests.faults.lab import Lab, Talk
from tests.faults.scenario import scenario
from tests.faults.tap import key
from tests.faults.verifier import position
from tests.rigs.eventually import eventually
from tests.rigs.redis_topologies import ClusterTopology, Process, SentinelTopology, slot_of

_FAILS_OVER_MS = 3000
"""From the moment there is another primary; how long that takes is the store's."""
_LONGEST_S = 15.0
"""Sentinels that disagree vote again after twice their fail-over timeout."""
_TAIL_S = 1.0
"""The time of publishing without a replica."""
_PATIENT = {"RELAY_UPLINK_WAIT_S": "20", "RELAY_REDIS_TIMEOUT_S": "2"}


@scenario("The primary is killed; Sentinel names another.", bound_ms=_FAILS_OVER_MS, topology="Sentinel",
          turn_ms=3000, settings=_PATIENT)  # fmt: skip
async def sentinel_failover(lab: Lab) -> None:
    sentinel = _sentinel(lab)
    primary = await sentinel.primary()
    await lab.steady()
    primary.kill()
    await _taken_over(lab, sentinel.primary, primary)
    await lab.turns(2)


@scenario(
    "The promoted replica lacks the last second: owners append it again, same ids, same bytes.",
    bound_ms=_FAILS_OVER_MS, topology="Sentinel", turn_ms=3000, settings=_PATIENT,
)  # fmt: skip
async def sentinel_lost_tail(lab: Lab) -> None:
    sentinel = _sentinel(lab)
    primary = await sentinel.primary()
    await lab.steady()
    replicas = await sentinel.replicas()
    for replica in replicas:
        await replica.execute("CONFIG", "SET", "masteruser", "nobody", "masterauth", "nothing")
    await primary.execute("CLIENT", "KILL", "TYPE", "replica")  # they cannot come back
    await asyncio.sleep(_TAIL_S)
    missing = [await _missing(replica, talk) for replica in replicas for talk in lab.talks]
    lab.notes["frames_missing"] = sum(missing)
    lab.check(all(missing), f"every replica lacks the tail: {missing}")
    primary.kill()
    for replica in replicas:
        await replica.execute("CONFIG", "SET", "masteruser", "", "masterauth", "")
    await _taken_over(lab, sentinel.primary, primary)
    await lab.turns(2)


@scenario("A primary of the cluster is killed; its replica is promoted.", bound_ms=_FAILS_OVER_MS,
          topology="Cluster", turn_ms=3000, settings=_PATIENT)  # fmt: skip
async def cluster_failover(lab: Lab) -> None:
    cluster = _cluster(lab)
    slot = _slot(lab, lab.talks[0])
    victim = await cluster.primary_of(slot)
    await lab.steady()
    victim.kill()
    await _taken_over(lab, partial(cluster.primary_of, slot), victim)
    await lab.turns(2)


@scenario("Slots move between nodes while frames are published (ASK, then MOVED).", bound_ms=1000,
          topology="Cluster", turn_ms=3000, settings=_PATIENT)  # fmt: skip
async def slot_migration(lab: Lab) -> None:
    cluster = _cluster(lab)
    lab.mark()
    for talk in lab.talks:
        slot = _slot(lab, talk)
        source = await cluster.primary_of(slot)
        target = next(node for node in await cluster.primaries() if node is not source)
        await cluster.migrate(slot, target, batch=1, pause_s=0.05)
    await lab.turns(2)


async def _taken_over(lab: Lab, primary: Callable[[], Awaitable[Process]], killed: Process) -> None:
    """Wait until there is another primary: then the outage ends."""
    began = time.monotonic()

    async def found() -> Process | None:
        with suppress(RedisError, AssertionError):  # no server answers, or no primary is known
            return await primary()
        return None

    await eventually(found, _LONGEST_S, until=lambda process: process not in (None, killed))
    lab.mark()
    lab.notes["without_a_primary_s"] = round(time.monotonic() - began, 1)


def _sentinel(lab: Lab) -> SentinelTopology:
    assert lab.store.sentinel is not None
    return lab.store.sentinel


def _cluster(lab: Lab) -> ClusterTopology:
    assert lab.store.cluster is not None
    return lab.store.cluster


def _slot(lab: Lab, talk: Talk) -> int:
    return slot_of(key(talk.id, "down"))


async def _missing(replica: Process, talk: Talk) -> int:
    """How many frames of a conversation a replica does not have."""
    async with Redis(port=replica.port) as client:
        entries = await client.xrevrange(key(talk.id, "down"), count=1)
    last = position(entries[0][0].decode()) if entries else (0, 0)
    return sum(at > last for at in talk.tape.publications)

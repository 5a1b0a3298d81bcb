"""Faults of one Redis: cut off, silent, restarted, full, read-only, with a key gone."""

import asyncio
import signal

from tests.faults.lab import Lab
from tests.faults.scenario import scenario
from tests.faults.tap import key

_BACK_MS = 3000
"""After an outage all conversations continue within this time."""
_PATIENT = {"RELAY_UPLINK_WAIT_S": "20"}
"""Control and gateways wait for the end of the outage."""


@scenario("Connections that are reset are opened again; viewers notice nothing.", bound_ms=1000,
          topology="one Redis, proxied")  # fmt: skip
async def redis_reset(lab: Lab) -> None:
    assert lab.store.proxy is not None
    for _ in range(3):
        await asyncio.sleep(1)
        lab.mark()
        lab.store.proxy.reset()
    await lab.turns(2)
    await _sockets_stayed(lab)


@scenario(
    "Redis does not answer for 10 s: gateways keep their sockets, are not ready, and continue.",
    bound_ms=_BACK_MS, topology="one Redis, proxied", settings=_PATIENT | {"RELAY_REDIS_TIMEOUT_S": "2"},
)  # fmt: skip
async def redis_black_hole(lab: Lab) -> None:
    assert lab.store.proxy is not None
    await lab.steady()
    await lab.store.proxy.set_mode("black hole")
    await asyncio.sleep(8)
    not_ready = [not await lab.ready(gateway) for gateway in lab.stack.gateways]
    lab.check(all(not_ready), "gateways answer that they are not ready")
    await asyncio.sleep(2)
    await lab.store.proxy.set_mode("pass")
    lab.store.proxy.reset()
    lab.mark()
    await lab.turns(2)
    await _sockets_stayed(lab)


@scenario("Redis restarts with its data (AOF).", bound_ms=_BACK_MS, topology="one Redis, AOF",
          settings=_PATIENT)  # fmt: skip
async def redis_restart_with_data(lab: Lab) -> None:
    await _restart(lab)


@scenario("Redis restarts empty: owners append lost frames again, same ids, same bytes.", bound_ms=_BACK_MS,
          fast=True, settings=_PATIENT)  # fmt: skip
async def redis_restart_without_data(lab: Lab) -> None:
    await _restart(lab)


async def _restart(lab: Lab) -> None:
    await lab.steady()
    lab.store.kill()
    await asyncio.sleep(1)
    lab.store.start_again()
    lab.mark()
    await lab.turns(2)
    await _sockets_stayed(lab)


@scenario("Redis is full for seconds (OOM): frames wait at their owner, then continue.", bound_ms=_BACK_MS,
          settings=_PATIENT)  # fmt: skip
async def redis_oom(lab: Lab) -> None:
    await lab.steady()
    await lab.store.execute("CONFIG", "SET", "maxmemory", 1)
    await asyncio.sleep(4)
    await lab.store.execute("CONFIG", "SET", "maxmemory", 0)
    lab.mark()
    await lab.turns(2)
    await _sockets_stayed(lab)


@scenario("Redis is a read-only replica for some seconds.", bound_ms=_BACK_MS, settings=_PATIENT)
async def redis_read_only(lab: Lab) -> None:
    await lab.steady()
    await lab.store.execute("REPLICAOF", "127.0.0.1", 1)
    await asyncio.sleep(4)
    await lab.store.execute("REPLICAOF", "NO", "ONE")
    lab.mark()
    await lab.turns(2)
    await _sockets_stayed(lab)


@scenario("The owner restores a deleted record; the next owner's generation is larger nevertheless.",
          bound_ms=_BACK_MS)  # fmt: skip
async def lost_generation_key(lab: Lab) -> None:
    talk = lab.talks[0]
    before = await lab.generation_of(talk)
    lab.mark()
    await lab.store.execute("DEL", key(talk.id, "meta"))
    await lab.turns(1)
    owner = await lab.owner_of(talk)
    lab.check(await lab.generation_of(talk) == before, "its owner stays")
    lab.mark(*await lab.owned_by(owner))
    owner.signal(signal.SIGKILL)
    await lab.turns(1)
    lab.check(await lab.generation_of(talk) > before, "the next generation is greater")


@scenario(
    "Valkey is a configuration: an owner and a gateway are killed.", bound_ms=_BACK_MS, topology="Valkey"
)
async def valkey(lab: Lab) -> None:
    await _kill_one_of_each(lab)


async def _kill_one_of_each(lab: Lab) -> None:
    owner = await lab.owner_of(lab.talks[0])
    lab.mark(*await lab.owned_by(owner))
    owner.signal(signal.SIGKILL)
    await lab.turns(1)
    lab.stack.gateways[0].signal(signal.SIGKILL)
    await lab.turns(1)


async def _sockets_stayed(lab: Lab) -> None:
    resumed = sum(viewer.report.resumes for viewer in lab.viewers)
    lab.check(not resumed, f"viewers keep their sockets: {resumed} had to come back")
    for child in (*lab.stack.gateways, *lab.stack.workers):
        lab.check(await lab.ready(child), f"{child.name} is ready again")

"""Faults by what is done to Redis while it runs: scripts, clients, rights, passwords, memory, roles."""

import asyncio
import time
from contextlib import suppress
from functools import partial
from signal import SIGCONT, SIGSTOP

from redis import RedisError
from tests.faults.lab import TIMEOUT_S, Lab
from tests.faults.scenario import scenario
from tests.faults.stores import RELAY_USER, Topology, at_port
from tests.rigs.eventually import eventually

_BACK_MS = 3000
"""After the fault all conversations continue within this time."""
_EVERY_S = 0.5
_WITHDRAWN_S = 5.0
_HINTED_MS = 200
"""Frames are this late at most while notifications arrive; without them a sweep finds them."""
_STOPPED_S = 5.0
_ANY: tuple[Topology, ...] = ("one Redis", "Sentinel", "Cluster")
_PATIENT = {"RELAY_UPLINK_WAIT_S": "20"}
"""Control and gateways wait while a permission is missing."""


@scenario("The script cache is flushed repeatedly within a turn: viewers notice nothing.", bound_ms=1000,
          fast=True, on=_ANY)  # fmt: skip
async def scripts_flushed(lab: Lab) -> None:
    await lab.steady()
    await _again_and_again(lab, "SCRIPT", "FLUSH")
    await lab.turns(2)
    await _kept(lab)


@scenario("Every connection to Redis is killed repeatedly: clients reconnect, viewers stay.",
          bound_ms=1000, on=_ANY)  # fmt: skip
async def clients_killed(lab: Lab) -> None:
    await lab.steady()
    await _again_and_again(lab, "CLIENT", "KILL", "TYPE", "normal")
    await _again_and_again(lab, "CLIENT", "KILL", "TYPE", "pubsub")
    await lab.turns(2)
    await _kept(lab)


@scenario("Redis disconnects a gateway that reads notifications too slowly; the gateway reads the streams.",
          bound_ms=_BACK_MS, on=_ANY, turn_ms=4000)  # fmt: skip
async def notifications_over_the_limit(lab: Lab) -> None:
    await lab.everywhere("CONFIG", "SET", "client-output-buffer-limit", "pubsub 4096 4096 1")
    stopped = lab.stack.gateways[0]
    await lab.steady()
    stopped.signal(SIGSTOP)
    await asyncio.sleep(_STOPPED_S)
    stopped.signal(SIGCONT)
    lab.mark()
    await lab.turns(2)
    await _kept(lab)


@scenario("Redis evicts any key when its memory is full (allkeys-lru): owners restore the evicted keys.",
          bound_ms=_BACK_MS, on=_ANY, monitored=True, settings=_PATIENT)  # fmt: skip
async def keys_evicted(lab: Lab) -> None:
    await lab.steady()
    await lab.everywhere("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    for _ in range(10):
        for port in await lab.store.primary_ports():
            memory = await at_port(port, "INFO", "memory")
            # Half of what the keys take is gone, and what comes in pushes out more.
            room = int(memory["used_memory"]) - int(memory["used_memory_dataset"]) // 2
            await at_port(port, "CONFIG", "SET", "maxmemory", room)
        await asyncio.sleep(_EVERY_S)
    await lab.everywhere("CONFIG", "SET", "maxmemory", 0)
    lab.mark()
    await lab.turns(2)
    evicted = [await at_port(port, "INFO", "stats") for port in lab.store.data_ports]
    lab.notes["evicted_keys"] = sum(int(one["evicted_keys"]) for one in evicted)
    lab.check(lab.notes["evicted_keys"], "keys were evicted")
    await _kept(lab)


@scenario("The permission to run scripts is revoked, and granted again.", bound_ms=_BACK_MS, on=_ANY,
          settings=_PATIENT)  # fmt: skip
async def no_right_to_run_scripts(lab: Lab) -> None:
    await _without_a_right(lab, ["-eval", "-evalsha"], ["+eval", "+evalsha"])


@scenario("The permission to write to streams is revoked, and granted again.", bound_ms=_BACK_MS, on=_ANY,
          settings=_PATIENT)  # fmt: skip
async def no_right_to_write(lab: Lab) -> None:
    await _without_a_right(lab, ["-xadd"], ["+xadd"])


@scenario("The permission for the relay's keys is revoked, and granted again.", bound_ms=_BACK_MS, on=_ANY,
          settings=_PATIENT)  # fmt: skip
async def no_right_to_keys(lab: Lab) -> None:
    await _without_a_right(lab, ["resetkeys"], ["~*"])


@scenario("The permission to subscribe is revoked: polls find the frames, later.",
          bound_ms=_BACK_MS, on=_ANY, turn_ms=4000, settings=_PATIENT)  # fmt: skip
async def no_right_to_subscribe(lab: Lab) -> None:
    # Turns are longer than two sweeps, speech's and viewers', so that frames are found while they are kept.
    await _without_a_right(lab, ["-ssubscribe"], ["+ssubscribe"], drop="pubsub")


@scenario("The password at Redis changes twice: the next connection reads the file with the new one.",
          bound_ms=_BACK_MS, on=_ANY, credentials=True, settings=_PATIENT)  # fmt: skip
async def credentials_rotated(lab: Lab) -> None:
    for _ in range(2):
        await lab.steady()
        await lab.store.rotate()
        lab.mark()
        await lab.everywhere("CLIENT", "KILL", "USER", RELAY_USER)
        await lab.turns(1)
    await _kept(lab)


@scenario(
    "A primary becomes a replica and stays up, later without new data: no process reads there.",
    bound_ms=_BACK_MS, on=("two behind a name", "Sentinel", "Cluster"), turn_ms=3000, settings=_PATIENT,
)  # fmt: skip
async def demoted(lab: Lab) -> None:
    await lab.steady()
    before = set(await lab.store.primary_ports())
    await _demote(lab)
    [old] = before - set(await lab.store.primary_ports())
    lab.mark()
    await lab.turns(1)
    for port in lab.store.data_ports:
        await at_port(port, "CONFIG", "SET", "masteruser", "nobody", "masterauth", "nothing")
    for port in await lab.store.primary_ports():
        await at_port(port, "CLIENT", "KILL", "TYPE", "replica")  # they cannot come back
    await lab.turns(1)
    cut_off = time.time()
    await lab.turns(1)
    late = lab.notes["p99_without_it_ms"] = lab.latency_ms(cut_off, time.time())
    lab.check(late is not None and late < _HINTED_MS, f"frames are on time: {late} ms")
    if lab.store.cluster is None:  # there it is a node like any other, which answers where keys are
        left = await _clients(old)
        lab.check(not left, f"no client stays with the replica: {left}")
    await _kept(lab)


async def _demote(lab: Lab) -> None:
    store = lab.store
    if store.sentinel is not None:
        await store.sentinel.fail_over()
    elif store.cluster is not None:
        await store.cluster.fail_over((await store.cluster.primaries())[0])
    else:
        assert store.pair is not None
        assert store.proxy is not None
        old, new = store.pair.primary, store.pair.replica
        await old.execute("FAILOVER", "TO", "127.0.0.1", new.port)
        await eventually(partial(_of_the_pair, lab), TIMEOUT_S, until=lambda found: found is not old)


async def _of_the_pair(lab: Lab) -> object:
    """The primary of two; once it is the other the name has moved there."""
    pair, proxy = lab.store.pair, lab.store.proxy
    assert pair is not None
    assert proxy is not None
    role = await pair.replica.execute("ROLE")
    if role[0] == "master":
        proxy.target = ("127.0.0.1", pair.replica.port)
        pair.primary, pair.replica = pair.replica, pair.primary
    return pair.primary


async def _clients(port: int) -> list[str]:
    """The names of the relay's connections to a server."""
    clients = await at_port(port, "CLIENT LIST")
    return sorted(one["name"] for one in clients if one["name"].startswith("relay-"))


async def _again_and_again(lab: Lab, *command: str, times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(_EVERY_S)
        lab.mark()
        with suppress(RedisError, OSError):  # it may be our own connection that is killed
            await lab.everywhere(*command)


async def _without_a_right(lab: Lab, withdraw: list[str], give_back: list[str], *, drop: str = "") -> None:
    """Revoke a permission of every Redis client for some seconds. Those that need it log its loss."""
    await lab.steady()
    withdrawn = time.time()
    await lab.everywhere("ACL", "SETUSER", "default", *withdraw)
    if drop:
        await lab.everywhere("CLIENT", "KILL", "TYPE", drop)
    await asyncio.sleep(_WITHDRAWN_S)
    for child in (*lab.stack.gateways, *lab.stack.workers):
        lab.check(not await lab.ready(child), f"{child.name} answers that it is not ready")
    await lab.everywhere("ACL", "SETUSER", "default", *give_back)
    lab.mark()
    given_back = time.time()
    await lab.turns(1)
    lab.notes["p99_without_it_ms"] = lab.latency_ms(withdrawn, given_back)
    await _kept(lab)


async def _kept(lab: Lab) -> None:
    """Viewers kept their sockets, and every process is ready."""
    resumed = sum(viewer.report.resumes for viewer in lab.viewers)
    lab.check(not resumed, f"viewers keep their sockets: {resumed} had to come back")
    for child in lab.stack.children:
        lab.check(await lab.ready(child), f"{child.name} is ready again")

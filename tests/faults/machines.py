"""Faults of the machine: few descriptors, standard error without a reader, everything paused."""

import asyncio
import signal
import socket
import time

import aiohttp
from tests.faults.lab import Lab
from tests.faults.scenario import scenario
from tests.faults.stores import send

from relay_cli.stack import Child

_FILES = 512
_STRANGERS = 800
_FULL_S = 5.0
_NOISY_REQUESTS = 400
_UNREAD_S = 5.0
_PAUSED_S = 6.0
_PROBE_S = 1.0
"""Within this time a probe is answered, under every load."""
_PROBE_TIMEOUT = aiohttp.ClientTimeout(total=_PROBE_S)


@scenario("A gateway runs out of descriptors: probes are answered, viewers and connections to Redis stay.",
          bound_ms=1000, gateways=1, files={"gateway": _FILES})  # fmt: skip
async def descriptors_used_up(lab: Lab) -> None:
    gateway = lab.stack.gateways[0]
    await lab.steady()
    lab.mark()
    host, port = gateway.url.removeprefix("ws://").split(":")
    clients: list[socket.socket] = []
    until = time.monotonic() + _FULL_S
    try:
        clients += await asyncio.gather(*(_connect(host, int(port)) for _ in range(_STRANGERS)))
        await lab.everywhere("CLIENT", "KILL", "TYPE", "normal")
        while time.monotonic() < until:
            await _answers(lab, gateway)
            clients.append(await _connect(host, int(port)))
            await asyncio.sleep(0.1)
    finally:
        for client in clients:
            client.close()
    lab.mark()
    await lab.turns(2)
    resumed = sum(viewer.report.resumes for viewer in lab.viewers)
    lab.check(not resumed, f"viewers keep their sockets: {resumed} had to come back")


@scenario("Standard error is not read: each process continues, answers its probes, and stops on SIGTERM.",
          bound_ms=2000, fast=True, unread_logs=True, settings={"RELAY_LOG_LEVEL": "debug"})  # fmt: skip
async def logs_unread(lab: Lab) -> None:
    await lab.steady()
    lab.mark()
    services = [f"{lab.stack.control.url}/v1/conversations/none", _http(lab.stack.gateways[0].url)]
    for _ in range(_NOISY_REQUESTS // len(services)):
        for service in services:
            async with lab.http.get(service, headers={"Authorization": "Bearer none"}) as answer:
                await answer.read()
    until = time.monotonic() + _UNREAD_S
    while time.monotonic() < until:
        await lab.everywhere("CLIENT", "KILL", "TYPE", "normal")  # each client logs that
        for child in lab.stack.children:
            await _answers(lab, child)
        await asyncio.sleep(0.2)
    await lab.turns(1)
    for leaving in (lab.stack.gateways[0], lab.stack.workers[0]):
        leaving.signal(signal.SIGTERM)
        lab.check(await leaving.wait(8) == 0, f"{leaving.name} exits with status 0")
    await lab.turns(1)


@scenario("The machine pauses for 6 s, Redis included: every conversation continues.", bound_ms=3000,
          on=("one Redis", "Sentinel", "Cluster"))  # fmt: skip
async def machine_paused(lab: Lab) -> None:
    # Redis carries out after the pause what arrived before it: a scan that began so is nobody's for a minute.
    await lab.reaper_looked()
    await lab.steady()
    pids = [*lab.store.pids, *(child.pid for child in lab.stack.children)]
    send(pids, signal.SIGSTOP)
    await asyncio.sleep(_PAUSED_S)
    send(pids, signal.SIGCONT)
    lab.mark()
    await lab.turns(2)
    for child in lab.stack.children:
        lab.check(await lab.ready(child), f"{child.name} is ready again")


async def _connect(host: str, port: int) -> socket.socket:
    """A connection that sends nothing; it may be refused."""
    plain = socket.socket()
    plain.setblocking(False)
    try:
        async with asyncio.timeout(_PROBE_S):
            await asyncio.get_running_loop().sock_connect(plain, (host, port))
    except OSError:  # a timeout, too
        pass
    return plain


async def _answers(lab: Lab, child: Child) -> None:
    began = time.monotonic()
    try:
        # A connection of its own, as a probe has.
        async with (
            aiohttp.ClientSession(timeout=_PROBE_TIMEOUT) as probe,
            probe.get(f"{child.admin}/livez") as answer,
        ):
            alive = answer.status == 200
    except Exception:  # noqa: BLE001  # whatever comes instead of an answer
        alive = False
    took_ms = round((time.monotonic() - began) * 1000)
    lab.notes["slowest_probe_ms"] = max(took_ms, lab.notes.get("slowest_probe_ms", 0))
    broken = f"{child.name} answers its probe within {_PROBE_S:g} s"
    if not alive and broken not in lab.problems:
        lab.problems.append(broken)


def _http(url: str) -> str:
    return url.replace("ws", "http", 1) + "/v1/conversations/none/stream"

"""Faults of clients without a key and of backends that leave: bodies that inflate, uploads that break off."""

import asyncio
import time
import zlib
from contextlib import suppress
from functools import cache
from urllib.parse import urlsplit

from tests.faults.lab import Lab
from tests.faults.relay import cpu_s, rss_bytes
from tests.faults.scenario import scenario

_MIB = 1024 * 1024
_BOMB_MIB = 256
_BOMBS = 6
"""At each service."""
_MAY_USE_S = 2.0
"""CPU of a process meanwhile. To inflate all of it would take several times that."""
_PATHS = ("/", "/livez", "/v1/conversations", "/v1/conversations/none/stream")
_UPLOADS = 40
_UPLOAD_BYTES = 8_000_000
_MAY_GROW = 64 * _MIB


@scenario("Clients without a key send bodies that inflate a thousandfold: no other request is delayed.",
          bound_ms=1000, fast=True)  # fmt: skip
async def inflating_bodies(lab: Lab) -> None:
    bomb = await asyncio.to_thread(_bomb)  # the viewers and the tap are in this process
    await lab.steady()
    lab.mark()
    struck = time.time()
    services = [lab.stack.control, *lab.stack.gateways]
    before = [cpu_s(service) for service in services]
    async with asyncio.TaskGroup() as clients:
        for service in services:
            clients.create_task(_throw(service.url, bomb))
    used = [round(cpu_s(service) - cpu, 2) for service, cpu in zip(services, before, strict=True)]
    ended = time.time()
    await lab.turns(1)
    lab.notes |= {"p99_meanwhile_ms": lab.latency_ms(struck, ended), "cpu_s": used}
    lab.check(max(used) < _MAY_USE_S, f"no service inflates a body that no handler reads: {used} s of CPU")
    resumed = sum(viewer.report.resumes for viewer in lab.viewers)
    lab.check(not resumed, f"viewers keep their sockets: {resumed} had to come back")


@scenario("Backends that disconnect during their uploads cost control no memory.", bound_ms=1000)
async def uploads_broken_off(lab: Lab) -> None:
    control = lab.stack.control
    conversation = (await lab.backend.create()).id
    await _break_off(lab, conversation)
    memory = rss_bytes(control)
    lab.mark()
    for _ in range(_UPLOADS):
        await _break_off(lab, conversation)
    await lab.turns(1)
    grew = rss_bytes(control) - memory
    lab.notes["control_grew_mib"] = round(grew / _MIB, 1)
    lab.check(grew < _MAY_GROW, f"memory stays bounded: {grew / _MIB:.0f} MiB")
    defects = await lab.metric([control], "relay_http_problems_total", problem="internal")
    lab.check(not defects, f"none counts as a defect: {defects:g}")
    await lab.backend.end(conversation)


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(_MIB)) for _ in range(_BOMB_MIB)) + packer.flush()


async def _throw(service: str, bomb: bytes) -> None:
    """One after the other, at every path, whatever the answer is."""
    for number in range(_BOMBS):
        path = _PATHS[number % len(_PATHS)]
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                await _request(service, "POST", path, bomb, len(bomb), "Content-Encoding: gzip")


async def _break_off(lab: Lab, conversation: str) -> None:
    """All but the last bytes of an upload, and gone."""
    with suppress(OSError):
        await _request(
            lab.stack.control.url, "POST", f"/v1/conversations/{conversation}/turns",
            bytes(_UPLOAD_BYTES - 10), _UPLOAD_BYTES,
            f"Authorization: Bearer {lab.stack.api_key}", "Content-Type: application/octet-stream",
            answered=False,
        )  # fmt: skip


async def _request(
    url: str, method: str, path: str, body: bytes, length: int, *headers: str, answered: bool = True
) -> None:
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        head = [f"{method} {path} HTTP/1.1", f"Host: {where.netloc}", f"Content-Length: {length}", *headers]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        if answered:
            await reader.read(_MIB)
    finally:
        writer.transport.abort()

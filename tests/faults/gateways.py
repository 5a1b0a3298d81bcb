"""Faults of gateways and of viewers: killed, drained, too slow, too late."""

import asyncio
import signal
import socket
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from tests.faults.lab import Lab, Talk
from tests.faults.relay import rss_bytes
from tests.faults.scenario import scenario
from tests.faults.verifier import Sighting

from relay_cli.stack import Child

_WINDOW_BYTES = 4096
_SLOW_BYTES_PER_S = 1024
_SLOW_VIEWERS = 8
_MIB = 1024 * 1024


@scenario("Viewers of a killed gateway resume at another.", bound_ms=2000, fast=True, viewers=4)
async def gateway_killed(lab: Lab) -> None:
    victim = lab.stack.gateways[0]
    theirs = [viewer for viewer in lab.viewers if viewer.url == victim.url]
    lab.mark()
    victim.signal(signal.SIGKILL)
    await lab.turns(2)
    lab.check(theirs and all(viewer.url != victim.url for viewer in theirs), "they are at the other gateway")
    lab.check(all(viewer.report.resumes for viewer in theirs), "they came back by themselves")


@scenario(
    "After SIGTERM a gateway is not ready, refuses new viewers, moves its viewers over the drain time,"
    " and exits.",
    bound_ms=2000, viewers=6, settings={"RELAY_DRAIN_S": "4"},
)  # fmt: skip
async def gateway_drained(lab: Lab) -> None:
    leaving = lab.stack.gateways[0]
    theirs = [viewer for viewer in lab.viewers if viewer.url == leaving.url]
    lab.mark()
    began = time.monotonic()
    leaving.signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    lab.check(not await lab.ready(leaving), "it is not ready")
    token = (await lab.backend.token(lab.talks[0].id)).token
    lab.check(await _refused(lab, leaving, lab.talks[0], token), "it refuses new viewers")
    lab.check(await leaving.wait(8) == 0, "it exits with status 0")
    lab.notes["exit_s"] = round(time.monotonic() - began, 2)
    await lab.turns(1)
    advised = [viewer for viewer in theirs if any(_type(one) == "reconnect" for one in viewer.record)]
    lab.check(len(advised) == len(theirs), f"{len(advised)} of {len(theirs)} viewers were advised")
    waits = {
        one.event["after_ms"] for viewer in advised for one in viewer.record if _type(one) == "reconnect"
    }
    lab.check(len(waits) > 1, f"the advice is spread: {sorted(waits)}")


@scenario(
    "A viewer that reads 1 KB/s delays no other viewer by 100 ms, costs bounded memory, and is closed with a"
    " code to resume.",
    bound_ms=1000, conversations=2, viewers=3, turn_ms=3000,
    settings={"RELAY_SLOW_CLIENT_S": "5"},
)  # fmt: skip
async def slow_client(lab: Lab) -> None:
    talk = lab.talks[0]
    gateway = lab.stack.gateways[0]
    token = (await lab.backend.token(talk.id)).token
    calm_s = 6.0
    began = time.time()
    await asyncio.sleep(calm_s)
    memory = rss_bytes(gateway)
    slow = [await _crawl(lab, gateway, talk, token) for _ in range(_SLOW_VIEWERS)]
    lab.mark()
    struck, peak = time.time(), memory
    async with asyncio.timeout(20):
        while await lab.metric([gateway], "relay_gateway_closes_total", code="slow_consumer") < _SLOW_VIEWERS:
            peak = max(peak, rss_bytes(gateway))
            await asyncio.sleep(0.2)
    for viewer in slow:
        viewer.cancel()
    calm, disturbed = lab.latency_ms(began, struck), lab.latency_ms(struck, time.time())
    lab.notes |= {
        "calm_p99_ms": calm,
        "disturbed_p99_ms": disturbed,
        "gateway_grew_mib": round((peak - memory) / _MIB, 1),
        "stayed_s": round(time.time() - struck, 1),
    }
    lab.check(calm is not None and disturbed is not None and disturbed < calm + 100, "others are not delayed")
    lab.check(peak - memory < 32 * _MIB, "memory stays bounded")


@scenario(
    "A viewer that resumes outside retention receives a gap, then the current turn from its start.",
    bound_ms=20000, conversations=2, turn_ms=1000, gaps=True,
    settings={"RELAY_RING_BYTES": "0"},
)  # fmt: skip
async def late_return(lab: Lab) -> None:
    late = lab.talks[0].viewers[1]
    left = late.position
    lab.mark(lab.talks[1])
    late.leave_for(7.0)
    await lab.until(lambda: late.came_after(time.time() - 0.5) and late.position > left, "its return", 15)
    await lab.turns(1)
    gaps = [one for one in late.record if _type(one) == "gap"]
    lab.check(len(gaps) == 1, f"it is reported once, not {len(gaps)} times")
    if gaps:
        gap_at = late.record.index(gaps[0])
        had = max(one.position for one in late.record[:gap_at])
        lab.check(_event(gaps[0])["from"] == f"{had[0]}-{had[1]}", f"it names what it had, {had}")
        after = late.record[gap_at + 1]
        lab.check(_type(after) == "turn_started", f"the current turn comes from its start, not from {after}")


def _event(one: Sighting) -> dict[str, Any]:
    return one.event or {}


def _type(one: Sighting) -> str:
    return str(_event(one).get("type", ""))


async def _refused(lab: Lab, gateway: Child, talk: Talk, token: str) -> bool:
    url = f"{gateway.url.replace('ws', 'http', 1)}/v1/conversations/{talk.id}/stream"
    try:
        async with lab.http.ws_connect(url, headers={"Authorization": f"Bearer {token}"}):
            return False
    except OSError:
        return True
    except Exception as error:  # noqa: BLE001  # aiohttp's handshake error
        return getattr(error, "status", 0) == 503


async def _crawl(lab: Lab, gateway: Child, talk: Talk, token: str) -> "asyncio.Task[None]":
    """A viewer with a tiny window that reads a kilobyte per second; it ends when it is dropped."""
    where = urlsplit(gateway.url)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW_BYTES)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plain, (where.hostname or "", where.port or 0))
    request = (
        f"GET /v1/conversations/{talk.id}/stream HTTP/1.1\r\nHost: {where.netloc}\r\n"
        f"Authorization: Bearer {token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: avatar-relay.v1\r\n\r\n"
    )
    await loop.sock_sendall(plain, request.encode())
    return lab.tasks.spawn(_read_slowly(plain), name="slow viewer")


async def _read_slowly(plain: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with plain, suppress(ConnectionError):
        while await loop.sock_recv(plain, _SLOW_BYTES_PER_S // 10):
            await asyncio.sleep(0.1)

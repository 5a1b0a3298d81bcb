"""Services as processes of their own, and what the system knows of them."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from tests.rigs.gateway import KEY
from tests.rigs.metrics import scraped

from relay_auth.api_keys import Scope, new_key
from relay_cli.stack import Child

API_KEY, KNOWN = new_key([Scope.ADMIN])
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


async def metric_of(admin: str, name: str, **labels: str) -> float:
    """The sum of a metric's series that have these labels."""
    async with aiohttp.ClientSession() as http:
        return await scraped(http, [admin], name, **labels)


class Service(Child):
    """A child whose CPU, memory and metrics can be read."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def cpu_s(self) -> float:
        """What it has computed so far, its system calls included."""
        fields = (await self._proc("stat")).rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    async def rss_bytes(self) -> int:
        return int((await self._proc("statm")).split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def _proc(self, name: str) -> str:
        return await asyncio.to_thread(Path(f"/proc/{self.pid}/{name}").read_text)

    async def metric(self, name: str, **labels: str) -> float:
        return await metric_of(self.admin, name, **labels)

    async def log(self) -> str:
        return await asyncio.to_thread(self.log_path.read_text, errors="replace")

    async def exchange(self, request: bytes) -> bytes:
        """Send these bytes over a connection of their own; the first bytes of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(20):
                return await reader.read(4096)
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()


@asynccontextmanager
async def service(kind: str, directory: Path, redis_url: str, **settings: str) -> AsyncIterator[Service]:
    """A gateway or a control with these settings, ready."""
    environment = {
        "RELAY_REDIS_URL": redis_url,
        "RELAY_TOKEN_SECRET": KEY,
        "RELAY_API_KEYS": str(KNOWN),
        "RELAY_GATEWAY_PORT": "0",
        "RELAY_CONTROL_PORT": "0",
        "RELAY_DRAIN_ACCEPT_S": "0",
        "SPATIUS_AVATAR_ID": "avatar",
        **settings,
    }
    child = Service(f"{kind}-{secrets.token_hex(4)}", kind, environment, directory)
    await child.start()
    try:
        yield child
    finally:
        await child.stop()

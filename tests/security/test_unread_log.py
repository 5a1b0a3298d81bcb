"""Standard error is not read: the process continues, and ends on SIGTERM."""

import asyncio
import fcntl
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from tests.rigs.eventually import eventually
from tests.rigs.gateway import KEY
from tests.rigs.listening import accepts
from tests.rigs.redis_process import free_port

from relay_runtime.parent import end_with_parent
from relay_settings.environment import child_environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pipes whose size can be set are Linux's")
_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 4096


@pytest.fixture
def full_pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe that takes nothing any more."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, _F_SETPIPE_SZ, _PIPE_BYTES)
    os.write(writing, b"." * _PIPE_BYTES)
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


@asynccontextmanager
async def gateway(standard_error: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A gateway whose Redis is away, and its admin port: every reconnect is a line."""
    port = free_port()
    environment = {
        "RELAY_REDIS_URL": f"redis://127.0.0.1:{free_port()}", "RELAY_TOKEN_SECRET": KEY,
        "RELAY_GATEWAY_PORT": "0", "RELAY_DRAIN_S": "1", "RELAY_DRAIN_ACCEPT_S": "0",
        "RELAY_ADMIN_PORT": str(port),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay_gateway", stdout=asyncio.subprocess.DEVNULL, stderr=standard_error,
        env=child_environment(environment), preexec_fn=end_with_parent,
    )  # fmt: skip
    try:
        await eventually(lambda: accepts(port), within_s=30)
        async with asyncio.timeout(30):
            yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_loop_turns_and_the_process_ends(full_pipe) -> None:
    """Not one line can be written, from the first one on."""
    _, writing = full_pipe
    async with gateway(writing) as (process, admin), aiohttp.ClientSession() as http:
        for _ in range(5):
            async with http.get(f"{admin}/livez", timeout=aiohttp.ClientTimeout(5)) as response:
                assert response.status == 200
            await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_lines_wait_for_their_reader(full_pipe) -> None:
    """When it is read again, the first lines come first, and whole."""
    reading, writing = full_pipe
    async with gateway(writing):
        text = b""
        while len(text) <= _PIPE_BYTES or not text.endswith(b"\n"):
            text += await asyncio.to_thread(os.read, reading, 65536)
        lines = [json.loads(line) for line in text[_PIPE_BYTES:].splitlines()]
        assert lines[0]["service"] == "gateway"

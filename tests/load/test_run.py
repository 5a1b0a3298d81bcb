"""Locust as a process, with a real relay: what makes a run fail, several processes, the page."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.load.options import KEY_VARIABLE
from tests.load.run import SETTINGS
from tests.rigs.eventually import eventually
from tests.rigs.imports import ROOT
from tests.rigs.need import need
from tests.rigs.redis_process import free_port

from relay_cli.stack import Stack
from relay_runtime.http import listen
from relay_runtime.parent import end_with_parent
from relay_wire import frame
from relay_wire.frame import Kind

pytestmark = pytest.mark.timeout(120)
LOCUSTFILE = ROOT / "tests" / "load" / "locustfile.py"
SMALL = (
    "--users", "7", "--spawn-rate", "10", "--run-time", "8s", "--conversations", "2",
    "--avatarkit-clients", "1", "--speech-s", "1",
)  # fmt: skip


@pytest.fixture
async def relay() -> AsyncIterator[Stack]:
    """A relay, where Locust is installed."""
    need("locust" if find_spec("locust") else None, "locust: pip install -e '.[load]'")
    async with Stack(workers=1, settings=SETTINGS) as stack:
        yield stack


@asynccontextmanager
async def locust(relay: Stack, log: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Locust's process, whose lines are in the log."""
    variables = {"LOAD_CONTROL_URL": relay.control.url, KEY_VARIABLE: relay.api_key}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), *arguments, cwd=ROOT,
            env={**os.environ, **variables}, stdout=output, stderr=output, preexec_fn=end_with_parent,
        )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def run(relay: Stack, log: Path, *arguments: str) -> tuple[int, str]:
    """One run without a page: its exit status, and what it printed."""
    async with locust(relay, log, "--headless", "--only-summary", *arguments) as process:
        status = await process.wait()
    return status, await asyncio.to_thread(log.read_text)


@asynccontextmanager
async def losing_gateway(gateway: str) -> AsyncIterator[str]:
    """A gateway that loses one audio frame: the tenth that it has to send to any viewer."""
    seen = 0

    def loses(data: bytes) -> bool:
        nonlocal seen
        seen += frame.decode(data).kind is Kind.AUDIO
        return seen == 10 and frame.decode(data).kind is Kind.AUDIO

    async def pass_on(request: web.Request) -> web.WebSocketResponse:
        offered = [each.strip() for each in request.headers["Sec-WebSocket-Protocol"].split(",")]
        downstream = web.WebSocketResponse(protocols=offered[:1])
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(gateway + str(request.rel_url), protocols=offered, max_msg_size=0) as upstream,
        ):
            await downstream.prepare(request)
            async for message in upstream:
                if not loses(message.data):
                    await downstream.send_bytes(message.data)
            await downstream.close(code=upstream.close_code or 1012)
        return downstream

    app = web.Application()
    app.router.add_get("/v1/conversations/{id}/stream", pass_on)
    async with listen(app, "127.0.0.1", 0) as url:
        yield url


async def test_a_whole_run_succeeds(relay: Stack, tmp_path: Path) -> None:
    """With every connection broken twice, and the report written."""
    report = tmp_path / "report.html"
    gateways = ("--gateway-urls", " ".join(relay.gateway_urls))
    status, printed = await run(relay, tmp_path / "log", *SMALL, *gateways, "--html", str(report))

    assert status == 0, printed
    assert printed.rstrip().endswith("ok: every viewer has every frame, once and in order")
    text = report.read_text()
    for name in ("deliver", "resume", "round", "speech", "POST turns"):
        assert f'"{name}"' in text, name
    assert relay.api_key not in text + printed


async def test_a_lost_frame_fails_the_run(relay: Stack, tmp_path: Path) -> None:
    """One frame of thousands, which no gap announces."""
    only_viewers = ("--avatarkit-clients", "0", "--scenario", "ramp")
    async with losing_gateway(relay.gateway_urls[0]) as url:
        status, printed = await run(relay, tmp_path / "log", *SMALL, *only_viewers, "--gateway-urls", url)

    assert status == 1, printed
    assert "failed: 1 losses: frames that are missing without a gap" in printed


async def test_viewers_of_one_process_watch_conversations_of_another(relay: Stack, tmp_path: Path) -> None:
    """A master and two workers; both backends are in one of them."""
    ports = ("--master-bind-host", "127.0.0.1", "--master-bind-port", str(free_port()))
    worker = ("--worker", "--master-host", "127.0.0.1", "--master-port", ports[-1])
    async with locust(relay, tmp_path / "1", *worker), locust(relay, tmp_path / "2", *worker):
        status, printed = await run(
            relay, tmp_path / "log", *SMALL, "--master", "--expect-workers", "2", *ports
        )

    assert status == 0, printed
    resumed = re.search(r"^viewer +resume +(\d+)", printed, re.MULTILINE)
    assert resumed is not None
    assert int(resumed[1]) == 8, "four viewers in two processes, each cut twice"


async def test_the_page_starts_runs_and_has_no_key(relay: Stack, tmp_path: Path) -> None:
    """Every option is on it with its help; its form starts and stops a run with other values."""
    port = free_port()
    page = f"http://127.0.0.1:{port}"
    web_arguments = ("--web-host", "127.0.0.1", "--web-port", str(port))
    async with locust(relay, tmp_path / "log", *web_arguments, *SMALL), aiohttp.ClientSession() as http:

        async def get(path: str) -> str:
            async with http.get(page + path) as response:
                return await response.text()

        async def answers() -> bool:
            with suppress(aiohttp.ClientError):
                return bool(await get("/"))
            return False

        await eventually(answers, within_s=30)
        text = await get("/")
        for option in ("scenario", "conversations", "avatarkit_clients", "gateway_urls", "speech_s"):
            assert f'"{option}"' in text, option
        assert "all further users are viewers" in text
        assert relay.api_key not in text

        form = {"user_count": "3", "spawn_rate": "5", "host": relay.control.url, "conversations": "1"}
        async with http.post(f"{page}/swarm", data=form) as response:
            assert (await response.json())["success"]

        async def delivered() -> bool:
            stats = json.loads(await get("/stats/requests"))
            return any(row["name"] == "deliver" and row["num_requests"] for row in stats["stats"])

        await eventually(delivered, within_s=30)
        await get("/stop")

        async def state() -> str:
            return str(json.loads(await get("/stats/requests"))["state"])

        await eventually(state, until="stopped".__eq__, within_s=20)

"""SIGTERM, with real processes: not ready at once, served for a while, then clients are sent elsewhere."""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL
from typing import Any

import aiohttp
import pytest
from tests.rigs.eventually import eventually
from tests.rigs.redis_process import free_port
from tests.security.processes import API_KEY, KNOWN, Service

from relay_runtime.parent import end_with_parent
from relay_settings.environment import child_environment
from relay_wire import audio_socket

HEADERS = {"Authorization": f"Bearer {API_KEY}"}


async def until(http: aiohttp.ClientSession, url: str, status: int) -> None:
    async def answered() -> int:
        async with http.get(url) as response:
            return response.status

    await eventually(answered, until=lambda found: found == status)


async def created(child: Service, http: aiohttp.ClientSession) -> str:
    async with http.post(f"{child.url}/v1/conversations", headers=HEADERS) as response:
        return str((await response.json())["id"])


@pytest.mark.parametrize("kind", ["gateway", "control"])
async def test_it_goes_on_accepting(service, kind: str) -> None:
    """Balancers detect it late: new connections are served, and each answer ends its connection."""
    async with service(kind, RELAY_DRAIN_ACCEPT_S="3600") as child, aiohttp.ClientSession() as http:
        await until(http, f"{child.admin}/readyz", 200)
        async with http.get(f"{child.url}/unknown") as response:
            assert "Connection" not in response.headers
        child.signal(signal.SIGTERM)
        await until(http, f"{child.admin}/readyz", 503)
        async with http.get(f"{child.url}/unknown") as response:
            assert (response.status, response.headers["Connection"]) == (404, "close")
        if kind == "control":
            assert await created(child, http)
        child.signal(signal.SIGTERM)
        assert await child.wait(10) == 1


async def test_speakers_are_sent_elsewhere(service) -> None:
    """With an `error` that may be retried and 1012, each at a time of its own; their turns stay open."""
    async with service("control", RELAY_DRAIN_S="2") as child, aiohttp.ClientSession() as http:
        conversations = [await created(child, http) for _ in range(8)]
        sockets = [
            await http.ws_connect(f"{child.url}/v1/conversations/{one}/audio", headers=HEADERS)
            for one in conversations
        ]
        for socket in sockets:
            await socket.send_bytes(bytes(320))
            assert isinstance(audio_socket.decode_answer(await socket.receive_str()), audio_socket.Turn)
            assert isinstance(audio_socket.decode_answer(await socket.receive_str()), audio_socket.Ack)
        child.signal(signal.SIGTERM)
        loop = asyncio.get_running_loop()

        async def advice(socket: aiohttp.ClientWebSocketResponse) -> tuple[Any, float]:
            last = audio_socket.decode_answer(await socket.receive_str(timeout=10))
            await socket.receive(timeout=10)
            return last, loop.time()

        answers = await asyncio.gather(*map(advice, sockets))
        assert [socket.close_code for socket in sockets] == [1012] * 8
        assert {(answer.code, answer.retryable) for answer, _ in answers} == {("restarting", True)}
        assert len({round(at, 1) for _, at in answers}) > 1
        assert await child.wait(10) == 0

    async with service("control") as after, aiohttp.ClientSession() as http:
        for one in conversations:
            path = f"{after.url}/v1/conversations/{one}/audio"
            async with http.ws_connect(path, headers=HEADERS) as socket:
                await socket.send_str(audio_socket.encode(audio_socket.Start(turn=1)))
                assert audio_socket.decode_answer(await socket.receive_str()) == audio_socket.Ack(1, 320)


async def test_requests_under_way_are_finished(service) -> None:
    """A turn whose body is still coming is taken; what is new by then is refused with 503."""
    async with service("control", RELAY_DRAIN_S="20") as child, aiohttp.ClientSession() as http:
        conversation = await created(child, http)
        begun, stopping = asyncio.Event(), asyncio.Event()

        async def body() -> Any:
            yield bytes(32_000)
            begun.set()
            await stopping.wait()
            yield bytes(32_000)

        async def post() -> tuple[int, int]:
            url = f"{child.url}/v1/conversations/{conversation}/turns"
            headers = {**HEADERS, "Content-Type": "audio/pcm"}
            async with http.post(url, data=body(), headers=headers) as response:
                return response.status, (await response.json())["audio_bytes"]

        posting = asyncio.create_task(post())
        await begun.wait()
        child.signal(signal.SIGTERM)
        await until(http, f"{child.url}/openapi.json", 503)
        stopping.set()
        assert await posting == (202, 64_000)
        assert await child.wait(10) == 0


@pytest.mark.parametrize("kind", ["gateway", "control"])
async def test_the_traffic_port_reports_readiness(service, kind: str) -> None:
    """At /healthz, outside every limit, with the body the vendor's clients read; 503 from the signal on."""
    limits = {"RELAY_REQUESTS_PER_S": "0.001", "RELAY_REQUESTS_BURST": "1"}
    async with (
        service(kind, RELAY_DRAIN_ACCEPT_S="3600", **limits) as child,
        aiohttp.ClientSession() as http,
    ):
        await until(http, f"{child.url}/healthz", 200)
        for _ in range(20):
            async with http.get(f"{child.url}/healthz") as response:
                assert (response.status, await response.json()) == (200, {"ok": True, "missing": []})
                assert response.headers["Server"] == "avatar-relay"
        child.signal(signal.SIGTERM)
        await until(http, f"{child.url}/healthz", 503)
        child.signal(signal.SIGTERM)
        assert await child.wait(10) == 1


async def test_signals_that_are_not_meant_for_stopping(service) -> None:
    """SIGUSR1 and SIGUSR2 change nothing; SIGHUP stops as SIGTERM does, and again is no second signal."""
    async with service("control", RELAY_DRAIN_ACCEPT_S="0.5") as child, aiohttp.ClientSession() as http:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
            child.signal(number)
        await until(http, f"{child.admin}/readyz", 200)
        child.signal(signal.SIGHUP)
        child.signal(signal.SIGHUP)
        assert await child.wait(10) == 0


@pytest.mark.parametrize("closed", [(0,), (1, 2), (0, 1, 2)])
async def test_closed_standard_streams(closed: tuple[int, ...]) -> None:
    """The event loop's files do not take their numbers: the process serves, and ends as it should."""
    port = free_port()
    script = "import os, sys; [os.close(int(n)) for n in sys.argv[1].split(',')]; os.execv(sys.executable,"
    script += " [sys.executable, '-m', 'relay_control'])"
    environment = {
        "RELAY_REDIS_URL": f"redis://127.0.0.1:{free_port()}", "RELAY_TOKEN_SECRET": "k" * 32,
        "RELAY_API_KEYS": str(KNOWN), "RELAY_CONTROL_PORT": "0", "RELAY_ADMIN_PORT": str(port),
        "RELAY_DRAIN_ACCEPT_S": "0",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, ",".join(map(str, closed)),
        stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL,
        env=child_environment(environment), preexec_fn=end_with_parent,
    )  # fmt: skip
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{port}/livez") as response:
                        assert response.status == 200
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

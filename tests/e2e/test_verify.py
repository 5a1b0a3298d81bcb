"""``avatar-relay verify`` against a whole relay: what is whole passes, what is lost does not."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.rigs.eventually import eventually

from relay_redis.client import RedisClient
from relay_streams.scripts import SCHEMA

pytestmark = pytest.mark.timeout(180)


class Done(NamedTuple):
    """How the command ended."""

    status: int
    report: dict[str, Any]
    stderr: str


class Running:
    """The command while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)

    async def until_frames(self) -> str:
        """Its line when every viewer receives frames."""
        async with asyncio.timeout(60):
            return (await self._process.stderr.readline()).decode()

    async def done(self) -> Done:
        stdout, stderr = await self._process.communicate()
        report = json.loads(stdout) if stdout else {}
        return Done(self._process.returncode, report, stderr.decode())


async def start(relay: Any, *arguments: str, **environment: str) -> Running:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay_cli", "verify", "--json", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ, "RELAY_API_KEY": relay.stack.api_key, "RELAY_CONTROL_URL": relay.stack.control.url,
            **environment,
        },
    )  # fmt: skip
    return Running(process)


def gateways(relay: Any) -> list[str]:
    return [argument for url in relay.stack.gateway_urls for argument in ("--gateway-url", url)]


async def frames(client: RedisClient) -> dict[str, list[str]]:
    """The entry ids of each conversation's stream of frames."""
    found = {}
    for key in await client.execute("KEYS", "*:down"):
        name = key.decode()
        found[name] = [entry[0].decode() for entry in await client.execute("XRANGE", name, "-", "+")]
    return found


async def test_a_whole_relay(relay, tmp_path: Path) -> None:
    """Posted and streamed turns at viewers of two gateways, one cut in mid-turn: everything is equal."""
    file = tmp_path / "report.json"
    async with relay() as r:
        running = await start(
            r, *gateways(r), "--simulator", r.stack.simulator.url, "--turns", "3", "--label", "whole",
            "--report", str(file),
        )  # fmt: skip
        done = await running.done()

    report = done.report
    assert (done.status, report["failures"]) == (0, [])
    assert (report["turns"], report["audio_only"], report["motion_checked"]) == (6, 0, 6)
    assert (report["lost"], report["repeated"], report["reordered"], report["gaps"]) == (0, 0, 0, 0)
    assert report["audio_equal"] is True
    assert report["motion_frames"] >= 24
    assert (report["cuts"], report["reconnects"], report["close_codes"]) == (2, 2, {"1006": 2, "4410": 4})
    assert report["recovery_ms"]["count"] == 2
    assert 0 < report["recovery_ms"]["p50"] <= report["recovery_ms"]["max"]
    assert report["started"] < report["finished"]
    assert json.loads(file.read_text()) == report
    assert "ok: every viewer received every frame once" in done.stderr


async def test_a_gateway_that_is_killed(relay) -> None:
    """Its viewers resume at the other gateway: whole, with the reconnects and their recovery."""
    async with relay() as r:
        running = await start(r, *gateways(r), "--for", "6", "--no-cut")
        async with RedisClient(r.stack.redis_url, SCHEMA, name="test") as client:
            await eventually(
                lambda: frames(client), 20, until=lambda found: any(len(ids) > 50 for ids in found.values())
            )
        r.stack.gateways[0].signal(signal.SIGKILL)
        done = await running.done()

    report = done.report
    assert (done.status, report["failures"]) == (0, [])
    assert report["reconnects"] >= 2
    assert report["close_codes"].get("1006", 0) >= 2
    assert report["recovery_ms"]["count"] >= 2
    assert report["cuts"] == 0


async def test_the_end_by_a_signal(relay) -> None:
    """Once every viewer receives frames a line says so; SIGINT ends with whole turns and the report."""
    async with relay(gateways=1, workers=1) as r:
        running = await start(r, "--for", "600")
        assert await running.until_frames() == "all 4 viewers receive frames\n"
        running.stop()
        done = await running.done()

    assert (done.status, done.report["failures"]) == (0, [])
    assert done.report["turns"] == 2
    assert done.report["stall_ms"]["count"] == 4


async def test_a_store_that_loses_a_frame(relay) -> None:
    """Exit status 1: a frame that was published is gone before the gateways have read it."""
    async with relay(gateways=1) as r:
        running = await start(
            r, "--conversations", "1", "--turns", "1", "--turn-ms", "60000", "--turn-timeout", "20"
        )
        gateway = r.stack.gateways[0]
        async with RedisClient(r.stack.redis_url, SCHEMA, name="test") as client:
            await eventually(
                lambda: frames(client), 20, until=lambda found: any(len(ids) > 5 for ids in found.values())
            )
            gateway.signal(signal.SIGSTOP)
            # A notification has its frames inline: one that the gateway has received cannot be lost.
            await client.execute("CLIENT", "KILL", "TYPE", "pubsub")
            [(down, before)] = (await frames(client)).items()
            later = await eventually(
                lambda: frames(client), 20, until=lambda found: len(found[down]) > len(before) + 10
            )
            assert await client.execute("XDEL", down, later[down][-5]) == 1
            gateway.signal(signal.SIGCONT)
        done = await running.done()

    report = done.report
    assert done.status == 1
    assert report["ok"] is False
    assert report["lost"] + report["gaps"] >= 1, report
    assert "not whole" in done.stderr


async def test_what_cannot_run(relay) -> None:
    """Exit status 2, with the setting and its fix in one sentence."""
    cases: list[tuple[tuple[str, ...], dict[str, str], list[str]]] = [
        ((), {"RELAY_API_KEY": ""}, ["set RELAY_API_KEY"]),
        ((), {"RELAY_API_KEY": "avk_0_wrong"}, ["RELAY_API_KEY", "RELAY_API_KEYS"]),
        ((), {"RELAY_CONTROL_URL": "http://127.0.0.1:1"}, ["http://127.0.0.1:1", "RELAY_CONTROL_URL"]),
        (("--simulator", "http://127.0.0.1:1"), {}, ["--simulator"]),
        (("--gateway-url", "ws://127.0.0.1:1"), {}, ["ws://127.0.0.1:1", "--gateway-url"]),
        (("--gateway-url", "nonsense"), {}, ["nonsense", "--gateway-url"]),
        (("--report", "/nowhere/report.json"), {}, ["--report", "/nowhere"]),
    ]
    async with relay(gateways=1, workers=1) as r:
        running = [await start(r, *arguments, **environment) for arguments, environment, _ in cases]
        results = [await one.done() for one in running]

    for done, (_, _, named) in zip(results, cases, strict=True):
        assert done.status == 2, done
        assert all(name in done.stderr for name in named), done.stderr
        assert "Traceback" not in done.stderr

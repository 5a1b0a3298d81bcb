"""The relay of docker-compose.yml under the verifier while every container is killed, and its profiles."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.compose.engine import LEFT_OUT, PORTS, SECRETS, Engine, prepared
from tests.compose.verifier import Verifier
from tests.rigs.eventually import eventually
from tests.rigs.imports import ROOT

pytestmark = pytest.mark.timeout(1800)

HEALTHY_WITHIN_S = 240.0
"""Longest wait for a container's health; a check is a new Python, and the machine may be busy."""
MOTION_WITHIN_S = 120.0
"""Longest wait for a verification in which every turn has motion again."""


@pytest.fixture(scope="module")
def engine() -> Engine:
    """An engine with every image."""
    return prepared()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """``say("...")`` prints a line that pytest does not capture."""

    def write(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return write


@contextmanager
def up(engine: Engine, *services: str, profile: str = "") -> Iterator[None]:
    """The relay runs; afterwards nothing of it is left, its volumes neither."""
    profiles = ("--profile", profile) if profile else ()
    try:
        engine.compose(*profiles, "up", "--detach", "--no-build", "--quiet-pull", "--wait", *services)
        yield
    except Exception as error:
        error.add_note(engine.state())
        raise
    finally:
        engine.compose("--profile", "*", "down", "--volumes", "--timeout", "20")


def keep(name: str, report: dict[str, Any]) -> None:
    """Write a verifier's report, for the figures of docs/operations/compose.md."""
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / f"{name}.json").write_text(json.dumps(report))


async def until_healthy(engine: Engine, container: str) -> None:
    """Wait until a container that was started again is healthy."""
    await eventually(
        lambda: engine.health(container), HEALTHY_WITHIN_S, until=lambda health: health == "healthy",
        what=container,
    )  # fmt: skip


async def test_killing_each_container_loses_nothing(engine: Engine, say) -> None:
    """While conversations speak each container is killed once, and started again as its policy does."""
    with up(engine):
        verifier = Verifier("--for", "1500", "--no-cut", "--turn-timeout", "240", "--give-up", "240")
        verifier.wait_for_frames()
        for service in ("gateway", "ingest", "control", "worker", "beat", "dispatcher", "proxy", "redis"):
            for container in engine.containers(service):
                engine.docker("kill", container)
                engine.docker("start", container)
                await until_healthy(engine, container)
        verifier.stop()
        report = verifier.report()

    keep("compose-killed", report)
    say(f"every container was killed once: recovery {report['recovery_ms']}, stalls {report['stall_ms']}")
    assert report["reconnects"] > 0
    assert report["audio_equal"] is True


async def test_the_simulator_killed_leaves_turns_without_motion_at_worst(engine: Engine, say) -> None:
    """The vendor's service is away: audio continues, and motion returns with it."""
    with up(engine):
        verifier = Verifier("--for", "1500", "--no-cut", "--turn-timeout", "240", "--give-up", "240")
        verifier.wait_for_frames()
        [container] = engine.containers("simulator")
        engine.docker("kill", container)
        engine.docker("start", container)
        await until_healthy(engine, container)
        await eventually(
            lambda: Verifier().report()["audio_only"], MOTION_WITHIN_S, until=lambda count: count == 0
        )
        verifier.stop()
        report = verifier.report()

    keep("compose-simulator-killed", report)
    say(f"the simulator was killed: {report['audio_only']} of {report['turns']} turns without motion")
    assert report["audio_equal"] is True
    # Each had one turn at most before; the rest is what came back in conversations that lost their session.
    assert report["motion_checked"] == report["turns"] - report["audio_only"] > report["conversations"]


async def test_tls(engine: Engine, tmp_path: Path) -> None:
    """Viewers connect over wss, with the certificate that was made for this machine."""
    with up(engine, profile="tls"):
        verifier = Verifier(
            "--gateway-url",
            f"wss://localhost:{PORTS['TLS_PORT']}",
            SSL_CERT_FILE=str(ROOT / SECRETS / "relay.crt"),
        )
        assert verifier.report()["audio_equal"] is True


async def test_a_redis_cluster_of_six_nodes() -> None:
    """The relay's Redis is a cluster, the broker stays the single one."""
    engine = prepared(RELAY_REDIS_URL="redis+cluster://redis-cluster:6379")
    with up(engine, "redis-cluster-join"), up(engine, profile="cluster"):
        assert Verifier().report()["audio_equal"] is True


async def test_observability(say) -> None:
    """Every process is scraped, the rules of the chart are evaluated without an error, spans arrive.

    Grafana and Jaeger are left out where no image of theirs is named.
    """
    left_out = [service for service, variable in LEFT_OUT.items() if not os.environ.get(variable)]
    services = ["prometheus", *(service for service in LEFT_OUT if service not in left_out)]
    say(f"profile observability: {services}; left out, since no image can be had: {left_out}")
    engine = prepared(RELAY_OTLP_ENDPOINT="http://jaeger:4318", RELAY_TRACE_RATIO="1")
    with up(engine), up(engine, *services, profile="observability"):
        async with aiohttp.ClientSession() as http:
            await check_prometheus(http)
            if "jaeger" in services:
                Verifier("--turns", "1").report()
                await eventually(lambda: traced(http), 60, until=lambda found: "avatar-relay-ingest" in found)


@pytest.mark.usefixtures("engine")  # the secrets are there
async def test_load() -> None:
    """A run from Locust's page: its verdict is that every viewer has every frame."""
    engine = prepared(
        LOAD_API_KEY=(ROOT / SECRETS / "RELAY_API_KEY").read_text("utf-8"),
        RELAY_KEY_REQUESTS_PER_S="10000", RELAY_KEY_REQUESTS_BURST="20000",
        RELAY_REQUESTS_PER_S="10000", RELAY_REQUESTS_BURST="20000",
    )  # fmt: skip
    engine.compose("build", "--quiet", "locust")
    run = {"user_count": 30, "spawn_rate": 10, "run_time": "30s", "conversations": 6}
    url = f"http://127.0.0.1:{PORTS['LOCUST_PORT']}"
    with up(engine, profile="load"):
        async with aiohttp.ClientSession() as http:

            async def state() -> str:
                async with http.get(f"{url}/stats/requests") as response:
                    text: str = (await response.json())["state"]
                    return text

            async with http.post(f"{url}/swarm", data=run) as response:
                assert (await response.json())["success"], await response.text()
            await eventually(state, 180, until=lambda found: found == "stopped")
        [locust] = engine.containers("locust")
        engine.docker("stop", locust)
        printed = engine.docker("logs", locust)
        code = engine.docker("inspect", "--format", "{{.State.ExitCode}}", locust).strip()
    assert (code, "every viewer has every frame" in printed) == ("0", True), printed


async def check_prometheus(http: aiohttp.ClientSession) -> None:
    """Every target is up, and no rule fails."""

    async def read(path: str) -> Any:
        url = f"http://127.0.0.1:{PORTS['PROMETHEUS_PORT']}/api/v1/{path}"
        async with http.get(url) as response:
            return (await response.json())["data"]

    async def targets() -> list[str]:
        active = (await read("targets?state=active"))["activeTargets"]
        return sorted(one["labels"]["component"] for one in active if one["health"] == "up")

    async def rules() -> list[dict[str, Any]]:
        return [rule for group in (await read("rules"))["groups"] for rule in group["rules"]]

    expected = ["beat", "control", "dispatcher", "gateway", "gateway", "ingest", "ingest", "simulator"]
    await eventually(targets, 120, until=lambda found: found == [*expected, "worker"])
    # Rules over 30 days have a long interval: they are unknown for a while.
    healthy = await eventually(
        rules, 120, until=lambda found: sum(rule["health"] == "ok" for rule in found) > len(found) * 0.9
    )
    assert len(healthy) > 100
    assert [rule["lastError"] for rule in healthy if rule["health"] == "err"] == []

    # The labels of targets do not hide those that rules read.
    async def missing() -> list[str]:
        alerts = [rule for rule in await rules() if rule["name"].endswith("Missing")]
        assert alerts
        return [rule["name"] for rule in alerts if rule["state"] != "inactive"]

    await eventually(missing, 120, until=lambda names: not names)


async def traced(http: aiohttp.ClientSession) -> list[str]:
    """The services of which Jaeger has spans."""
    async with http.get(f"http://127.0.0.1:{PORTS['JAEGER_PORT']}/api/services") as response:
        names: list[str] = (await response.json())["data"]
        return names

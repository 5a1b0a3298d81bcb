"""A Prometheus of the distribution that scrapes processes of a test once a second, and its HTTP API."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from tests.rigs.need import need
from tests.rigs.redis_process import free_port

from relay_runtime.parent import end_with_parent

SCRAPE_INTERVAL_S = 1
RULES = Path(__file__).parents[2] / "helm" / "avatar-relay" / "files" / "rules"
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0


class Series(NamedTuple):
    """One series of an answer: its labels, and its values by time."""

    labels: dict[str, str]
    values: list[tuple[float, float]]


class PrometheusError(Exception):
    """Raised when Prometheus refuses an expression, or ends."""


class Prometheus:
    """The HTTP API of a running server.

    Args:
        url: Where it listens.
        http: To ask it with.
    """

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def value(self, expr: str) -> float:
        """The present sum of an expression; 0 without series.

        Raises:
            PrometheusError: It is no expression.
        """
        data = await self._get("query", query=f"sum({expr})")
        return sum(float(one["value"][1]) for one in data["result"])

    async def values(self, expr: str, label: str) -> dict[str, float]:
        """The present sums of an expression by a label; series with 0 are left out.

        Raises:
            PrometheusError: It is no expression.
        """
        data = await self._get("query", query=f"sum by ({label}) ({expr})")
        found = {one["metric"].get(label, ""): float(one["value"][1]) for one in data["result"]}
        return {name: value for name, value in found.items() if value}

    async def over(self, expr: str, start: float, end: float, step_s: float = 1.0) -> list[Series]:
        """An expression over time.

        Raises:
            PrometheusError: It is no expression.
        """
        data = await self._get("query_range", query=expr, start=start, end=end, step=step_s)
        return [
            Series(one["metric"], [(at, float(value)) for at, value in one["values"]])
            for one in data["result"]
        ]

    async def exemplars(self, expr: str, start: float, end: float) -> list[dict[str, Any]]:
        """The exemplars of an expression's series.

        Raises:
            PrometheusError: It is no expression.
        """
        data = await self._get("query_exemplars", query=expr, start=start, end=end)
        return [exemplar for series in data for exemplar in series["exemplars"]]

    async def rules(self) -> list[dict[str, Any]]:
        """The loaded rules, with their health."""
        data = await self._get("rules")
        return [rule for group in data["groups"] for rule in group["rules"]]

    async def scraped(self) -> dict[str, bool]:
        """By name, whether the last scrape of each process went well."""
        data = await self._get("targets", state="active")
        return {one["labels"]["instance"]: one["health"] == "up" for one in data["activeTargets"]}

    async def _get(self, path: str, **parameters: object) -> Any:
        url = f"{self.url}/api/v1/{path}"
        async with (
            self._http.post(url, data=parameters)
            if "query" in parameters
            else self._http.get(
                url, params={name: str(value) for name, value in parameters.items()}
            ) as response
        ):
            answer = await response.json()
        if answer["status"] != "success":
            raise PrometheusError(f"{answer['errorType']}: {answer['error']}: {parameters}")
        return answer["data"]


@asynccontextmanager
async def prometheus(jobs: Mapping[str, Mapping[str, str]]) -> AsyncIterator[Prometheus]:
    """A server that has scraped every process once; missing it skips on a laptop and fails in CI.

    Args:
        jobs: By job, the addresses of admin ports by the names of their processes (label ``instance``).

    Raises:
        PrometheusError: It ended.
        TimeoutError: It did not scrape all of them in time.
    """
    binary = need(shutil.which("prometheus"), "prometheus")
    with tempfile.TemporaryDirectory(prefix="prometheus-", ignore_cleanup_errors=True) as name:
        directory, port = Path(name), free_port()
        config = directory / "prometheus.yaml"
        config.write_text(json.dumps(_config(jobs)), "utf-8")
        command = [
            binary, f"--config.file={config}", f"--storage.tsdb.path={directory}",
            f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage",
        ]  # fmt: skip
        log = directory / "log"
        with log.open("wb") as output:
            child = await asyncio.create_subprocess_exec(
                *command, stdout=output, stderr=output, start_new_session=True, preexec_fn=end_with_parent
            )
        try:
            async with aiohttp.ClientSession() as http:
                server = Prometheus(f"http://127.0.0.1:{port}", http)
                await _ready(server, child, log)
                yield server
        finally:
            child.terminate()
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await child.wait()


async def _ready(server: Prometheus, child: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(_START_TIMEOUT_S):
        while True:
            if child.returncode is not None:
                raise PrometheusError(await asyncio.to_thread(log.read_text, "utf-8"))
            try:
                scraped = await server.scraped()
            except (aiohttp.ClientError, ValueError):
                scraped = {}
            if scraped and all(scraped.values()):
                return
            await asyncio.sleep(0.05)


def _config(jobs: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """JSON is YAML."""
    return {
        "global": {
            "scrape_interval": f"{SCRAPE_INTERVAL_S}s",
            "scrape_timeout": f"{SCRAPE_INTERVAL_S}s",
            "evaluation_interval": f"{SCRAPE_INTERVAL_S}s",
        },
        "rule_files": [str(RULES / "*.yaml")],
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [
                    {"targets": [urlsplit(address).netloc], "labels": {"instance": name}}
                    for name, address in processes.items()
                ],
            }
            for job, processes in jobs.items()
        ],
    }

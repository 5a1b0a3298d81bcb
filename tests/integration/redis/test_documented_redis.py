"""The settings of Redis in the documentation: real servers start with them, and the doctor agrees."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.rigs.imports import ROOT
from tests.rigs.need import need

from relay_redis.client import RedisClient
from relay_redis.local_server import LocalServer, distribution_binary, embedded_binary
from relay_streams.scripts import SCHEMA

PAGE = ROOT / "docs" / "operations" / "redis.md"
UNITS = {"mb": 2**20, "gb": 2**30}


[_TEXT] = re.findall(r"^```conf\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
DOCUMENTED = _TEXT.splitlines()
"""The lines of the configuration."""


@pytest.fixture(params=["distribution", "embedded"])
def server(request: pytest.FixtureRequest) -> Iterator[LocalServer]:
    """A server with these settings."""
    is_ours = request.param == "embedded"
    binary = need(embedded_binary() if is_ours else distribution_binary(), f"a server ({request.param})")
    # As redis-server reads them on its command line: the first word of each line is an option.
    arguments = [f"--{line}" for line in DOCUMENTED]
    words = [word.strip('"') for line in arguments for word in line.split()]
    with LocalServer(binary, arguments=tuple(words)) as started:
        yield started


async def test_a_server_has_these_settings(server: LocalServer) -> None:
    """Each line is one that Redis and Valkey know."""
    async with RedisClient(server.url, SCHEMA, name="test", timeout_s=5) as client:
        for line in DOCUMENTED:
            name, *values = line.split()
            found = (await client.execute("CONFIG", "GET", name))[1].decode()
            if name == "client-output-buffer-limit":
                kind, *limits = values
                kind = {"replica": "slave"}.get(kind, kind)
                assert f"{kind} {' '.join(map(in_bytes, limits))}" in found.replace("replica", "slave"), line
            else:
                assert found == in_bytes(values[0].strip('"')), line


def in_bytes(value: str) -> str:
    """As Redis returns it."""
    match = re.fullmatch(r"(\d+)(mb|gb)", value)
    return str(int(match[1]) * UNITS[match[2]]) if match else value


async def test_the_doctor_finds_nothing_wrong(server: LocalServer, tmp_path: Path) -> None:
    """Version, policy and persistence are those that the page asks for."""
    environment = {**os.environ, "RELAY_REDIS_URL": server.url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay_cli", "doctor", "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment, cwd=tmp_path,
    )  # fmt: skip
    output, _ = await process.communicate()
    findings = {finding["what"]: finding["state"] for finding in json.loads(output)}
    assert {findings[f"Redis {what}"] for what in ("version", "maxmemory-policy", "persistence")} == {"ok"}

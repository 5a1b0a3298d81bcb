"""The guide's code for a backend, run as it stands there against a whole relay."""

import ast
import asyncio
import json
import os
import types
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.e2e.conftest import RATE, Relay, open_relay
from tests.rigs.documented import blocks
from tests.rigs.eventually import eventually
from tests.rigs.redis_server import Server
from tests.rigs.riff import riff

import relay_client

CONTROL = "http://control:8081"
"""Control's address in the guide."""
BACKEND = "docs/guide/backend.md"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("e2e_guide_code")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def r(redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    """A relay with all jobs."""
    folder = tmp_path_factory.mktemp("recordings")
    settings = {"RELAY_CLIPS": "true", "RELAY_RECORDINGS_URL": f"file://{folder}"}
    async with open_relay(redis_server.url, gateways=1, workers=1, jobs=True, settings=settings) as opened:
        yield opened


def code(page: str, heading: str, language: str = "python", containing: str = "") -> str:
    """The first block of a section in a language that contains a text."""
    found = (block.text for block in blocks(page, heading) if block.language == language)
    return next(text for text in found if containing in text)


async def run_python(r: Relay, text: str, speech: bytes, rate: int = RATE) -> dict[str, Any]:
    """Run a block with the names that it leaves to its reader; returns those that it has afterwards."""

    async def synthesise(_: str) -> AsyncIterator[bytes]:
        for begin in range(0, len(speech), 3201):  # cut anywhere
            yield speech[begin : begin + 3201]

    names: dict[str, Any] = {
        **{name: getattr(relay_client, name) for name in relay_client.__all__},
        "asyncio": asyncio, "date": date, "eventually": eventually,
        "api_key": r.stack.api_key, "backend": r.backend, "message_id": "1", "sample_rate": RATE,
        "conversation": await r.backend.create(), "text": "hello", "synthesise": synthesise,
        "stored_chunks": [speech[:RATE], speech[RATE:]], "wav": riff(speech, rate=rate),
    }  # fmt: skip
    text = text.replace(CONTROL, r.stack.control.url)
    await types.FunctionType(compile(text, "guide", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)()
    return names


async def run_shell(r: Relay, text: str, folder: Path, **variables: str) -> str:
    """Run a block whose requests must all succeed; returns what it prints."""
    (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    environment = {**os.environ, "CURL_HOME": str(folder), "KEY": r.stack.api_key, **variables}
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euc", text.replace(CONTROL, r.stack.control.url), cwd=folder, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed = (await shell.communicate())[0].decode()
    assert shell.returncode == 0, printed
    return printed


async def test_a_backend_in_python(r: Relay, speech: bytes) -> None:
    """A conversation is created, gets a token, speaks, and ends."""
    names = await run_python(r, code(BACKEND, "# The backend in Python"), speech, rate=24000)
    assert names["token"].url.startswith(r.stack.gateway_urls[0])
    await eventually(
        lambda: r.backend.read(names["conversation"].id), until=lambda found: found.state == "ended"
    )


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("README.md", "## Use it"),
        (BACKEND, "## Speech as it is synthesised"),
        (BACKEND, "### Across processes"),
    ],
)
async def test_speech_in_pieces(r: Relay, speech: bytes, page: str, heading: str) -> None:
    """Every byte is accepted, in one turn."""
    stream = (await run_python(r, code(page, heading, containing=".speech("), speech))["stream"]
    assert (stream.turn, stream.acknowledged_bytes) == (1, len(speech))


async def test_an_interrupt(r: Relay, speech: bytes) -> None:
    """The error of an interrupted stream has what the guide reads of it."""
    interrupted = """
        await stream.send(stored_chunks[0])
        await eventually(lambda: stream.acknowledged_bytes == len(stored_chunks[0]))
        await backend.interrupt(conversation.id)
"""
    text = code(BACKEND, "## Errors").replace("\n        ...\n", interrupted)
    assert (await run_python(r, text, speech))["accepted_ms"] == 500


async def test_a_recording(r: Relay, speech: bytes) -> None:
    """The conversation is recorded."""
    names = await run_python(r, code("docs/guide/recordings.md", "## Switch it on"), speech)
    assert (await r.backend.read(names["conversation"].id)).recording == "running"


async def test_clips(r: Relay, speech: bytes, tmp_path: Path) -> None:
    """A clip is rendered and spoken, in Python and by requests."""
    names = await run_python(r, code("docs/guide/clips.md", "# Clips"), speech)
    assert names["clip"].state == "ready"

    (tmp_path / "hello.wav").write_bytes(names["wav"])
    text = code("docs/guide/clips.md", "# Clips", "sh").replace("01K…", names["clip"].id)
    printed = await run_shell(r, text, tmp_path, AVATAR="another", ID=names["conversation"].id)
    decoder = json.JSONDecoder()
    created, end = decoder.raw_decode(printed)
    accepted, _ = decoder.raw_decode(printed[end:].lstrip())
    assert (created["avatar_id"], accepted["turn"]) == ("another", 2)


async def test_usage(r: Relay, speech: bytes, tmp_path: Path) -> None:
    """Counts are read in Python, as JSON and as CSV."""
    await run_python(r, code("docs/guide/usage.md", "# Usage"), speech)
    assert "usage" in json.loads(await run_shell(r, code("docs/guide/usage.md", "# Usage", "sh"), tmp_path))
    assert (tmp_path / "usage.csv").read_text().startswith("day,app,")

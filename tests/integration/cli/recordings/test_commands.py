"""``avatar-relay recordings``: what storage has, and what Redis lists as not finished."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.rigs import object_storage
from typer.testing import CliRunner, Result

from relay_cli.__main__ import app
from relay_cli.recordings.commands import _age
from relay_streams.recordings import Recordings

pytestmark = pytest.mark.usefixtures("errors_alone_are_logged")

DAY_S = 86_400


async def run(*arguments: str) -> Result:
    """The command in this process, in a thread of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["recordings", "list", *arguments])


async def objects(*arguments: str) -> Any:
    """What it prints as JSON."""
    result = await run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def fill(folder: Path) -> None:
    """A recording that is whole, parts of two others, and files that are no recordings."""
    storage = object_storage.Place(str(folder)).storage
    files = {
        "2026-01-01/whole.avrec": 10, "2026-01-01/whole.wav": 5, "2026-01-02/open.parts/1-1_1-2": 3,
        "2026-01-02/gone.parts/1-1_1-2": 4, "2026-01-02/notes.txt": 9, "clips/one.avrec": 9,
    }  # fmt: skip
    for age, (name, size) in enumerate(files.items()):
        storage.put(name, bytes(size))
        os.utime(folder / name, (1_767_300_000 - age * DAY_S,) * 2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of recordings, filled."""
    place = tmp_path / "recordings"
    monkeypatch.setenv("RELAY_RECORDINGS_URL", str(place))
    fill(place)
    return place


async def test_listed(open_store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its state and the size of all its files; what has no file yet comes first."""
    async with open_store() as store:
        monkeypatch.setenv("RELAY_REDIS_URL", store.url)
        listed = Recordings(store.client, store.keys, claim_ms=1000)
        for name in ("open", "ended", "fresh"):
            keys = store.keys.conversation(name)
            state = "ended" if name == "ended" else "open"
            await store.client.execute("HSET", keys.meta, "state", state)
            await listed.register(name, within_ms=60_000)

        found = [tuple(each.values()) for each in await objects()]
        assert found == [
            ("ended", "waiting", 0, ""),
            ("fresh", "running", 0, ""),
            ("whole", "finished", 15, "2026-01-01 20:40:00+00:00"),
            ("open", "running", 3, "2025-12-30 20:40:00+00:00"),
            ("gone", "lost", 4, "2025-12-29 20:40:00+00:00"),
        ]
        assert [each["conversation"] for each in await objects("--limit", "2")] == ["ended", "fresh"]
        printed = await run("--limit", "3")
        assert "finished" in printed.output
        assert "There are more" in printed.output


async def test_what_cannot_be_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis that is away is named; so is the variable that is missing."""
    monkeypatch.setattr("relay_cli.recordings.inventory._TIMEOUT_S", 0.2)
    monkeypatch.setenv("RELAY_REDIS_URL", "redis://127.0.0.1:1")
    away = await run()
    assert away.exit_code == 1
    assert "Redis at 127.0.0.1: " in away.stderr

    monkeypatch.delenv("RELAY_RECORDINGS_URL")
    missing = await run()
    assert missing.exit_code == 1
    assert "RELAY_RECORDINGS_URL" in missing.stderr


def test_ages() -> None:
    """In the largest unit that is whole; a clock that is behind is no age."""
    assert [_age(seconds) for seconds in (-5, 0.5, 59, 60, 7199, 3 * 86_400 + 1)] == [
        "0 s ago", "0 s ago", "59 s ago", "1 min ago", "1 h ago", "3 d ago",
    ]  # fmt: skip

"""``avatar-relay clips``: the clips of a key, through control's API."""

import asyncio
import json
from typing import Any

import pytest
from tests.rigs.control import open_control
from typer.testing import CliRunner, Result

from relay_cli.__main__ import app
from relay_client import Backend

pytestmark = pytest.mark.usefixtures("errors_alone_are_logged")

PCM = bytes(6400)


async def run(*arguments: str) -> Result:
    """The command in this process, in a thread of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["clips", *arguments])


async def objects(*arguments: str) -> Any:
    """What it prints as JSON."""
    result = await run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


async def test_listed_and_deleted(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the key has, with state and size; those before a refused one are deleted, and shown."""
    async with (
        open_store() as store,
        open_control(store, clips=True, jobs=True) as rig,
        Backend(rig.url, rig.key) as backend,
    ):
        monkeypatch.setenv("RELAY_API_KEY", rig.key)
        control = ("--control", rig.url)
        assert await objects("list", *control) == []
        one, two = [await backend.create_clip(PCM, avatar_id="ava") for _ in range(2)]

        listed = await objects("list", *control)
        assert {clip["id"] for clip in listed} == {one.id, two.id}
        assert {(clip["state"], clip["audio_ms"], clip["avatar_id"]) for clip in listed} == {
            ("queued", 200, "ava")
        }
        printed = await run("list", *control)
        assert "queued" in printed.output

        [cancelled] = await objects("delete", one.id, *control)
        assert (cancelled["id"], cancelled["state"]) == (one.id, "cancelled")
        refused = await run("delete", one.id, "unknown", two.id, *control, "--json")
        assert refused.exit_code == 1
        assert "unknown: " in refused.stderr
        assert [clip["id"] for clip in json.loads(refused.stdout)] == [one.id]
        assert [clip["id"] for clip in await objects("list", *control)] == [two.id]


async def test_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names the variable; a control that is away is named, too."""
    monkeypatch.delenv("RELAY_API_KEY", raising=False)
    missing = await run("list")
    assert missing.exit_code == 1
    assert "RELAY_API_KEY" in missing.stderr

    monkeypatch.setenv("RELAY_API_KEY", "a-key")
    monkeypatch.setattr("relay_cli.clips._GIVE_UP_S", 0.1)
    away = await run("list", "--control", "http://127.0.0.1:1")
    assert away.exit_code == 1
    assert "avatar-relay: " in away.stderr

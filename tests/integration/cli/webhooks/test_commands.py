"""``avatar-relay webhooks``: deliveries and dead letters of a real store, and a test at a real receiver."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.rigs.receiver import SECRET, answers, receiving
from typer.testing import CliRunner, Result

from relay_cli.__main__ import app
from relay_streams.webhooks import Deliveries, Facts, Place, planned

pytestmark = pytest.mark.usefixtures("errors_alone_are_logged")


async def run(*arguments: str) -> Result:
    """The command in this process, in a thread of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["webhooks", *arguments])


async def objects(*arguments: str) -> Any:
    """What it prints as JSON."""
    result = await run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


async def fill(store: Any, monkeypatch: pytest.MonkeyPatch) -> Deliveries:
    """Four deliveries: of two endpoints, two of them dead letters."""
    monkeypatch.setenv("RELAY_REDIS_URL", store.url)
    deliveries = Deliveries(store.client, store.keys)
    for index, (endpoint, dead) in enumerate(
        [("crm", False), ("crm", True), ("bill", False), ("bill", True)]
    ):
        place = Place(index, f"msg_{index}_{endpoint}")
        facts = Facts(endpoint, f"c{index}.1-2", "turn.ended", f"c{index}", index + 1, 1_700_000_000_000)
        for write in planned(store.keys.shared(index), place.delivery, facts, b'{"type":"turn.ended"}'):
            await store.client.execute(write.command, write.key, *write.args)
        if dead:
            await deliveries.begin(place, claim_s=60)
            await deliveries.finish(
                place, 1, "dead", outcome="failed", status=503, keep_delivered_s=60, most_dead=10
            )
    return deliveries


async def test_listed(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait, or dead letters; by endpoint, type and conversation; no more than the limit."""
    async with open_store() as store:
        await fill(store, monkeypatch)

        async def names(*options: str) -> list[str]:
            return [each["delivery"] for each in await objects("list", *options)]

        assert await names() == ["msg_0_crm", "msg_2_bill"]
        assert await names("--dead") == ["msg_1_crm", "msg_3_bill"]
        assert await names("--dead", "--endpoint", "bill") == ["msg_3_bill"]
        assert await names("--conversation", "c2", "--type", "turn.ended") == ["msg_2_bill"]
        assert await names("--type", "clip.ready") == []
        assert await names("--limit", "1") == ["msg_0_crm"]
        [dead] = await objects("list", "--dead", "--endpoint", "crm")
        assert (dead["state"], dead["attempts"], dead["outcome"], dead["status"]) == (
            "dead",
            1,
            "failed",
            503,
        )
        assert dead["happened"] == "2023-11-14 22:13:20+00:00"

        printed = await run("list", "--dead", "--limit", "1")
        assert "msg_1_crm" in printed.output
        assert "failed 503" in printed.output
        assert "There are more" in printed.output


async def test_shown(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery by its id, with its body; an unknown one is an error."""
    async with open_store() as store:
        await fill(store, monkeypatch)
        found = await objects("show", "msg_1_crm")
        assert (found["order"], json.loads(found["body"])) == (2, {"type": "turn.ended"})
        printed = await run("show", "msg_0_crm")
        assert "c0, order 1" in printed.output
        assert "next attempt" in printed.output
        unknown = await run("show", "msg_9_crm")
        assert unknown.exit_code == 1
        assert "Redis has no delivery msg_9_crm" in unknown.output


async def test_retried(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One, those of an endpoint, or all: they wait again; what is no dead letter is an error."""
    async with open_store() as store:
        deliveries = await fill(store, monkeypatch)
        assert await objects("retry", "msg_1_crm") == {"retried": ["msg_1_crm"]}
        assert await objects("retry", "--endpoint", "crm") == {"retried": []}
        assert await objects("retry", "--endpoint", "bill") == {"retried": ["msg_3_bill"]}
        assert (await run("retry", "--all")).output.strip() == "0 due now"
        backlog = await deliveries.backlog()
        assert (backlog.pending, backlog.dead) == (4, 0)
        refused = await run("retry", "msg_1_crm")
        assert refused.exit_code == 1
        assert "msg_1_crm is no dead letter: it is due" in refused.output
        assert (await run("retry")).exit_code == 2
        assert (await run("retry", "msg_1_crm", "--all")).exit_code == 2


async def test_a_redis_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the server."""
    monkeypatch.setattr("relay_cli.webhooks.actions._TIMEOUT_S", 0.3)
    monkeypatch.setenv("RELAY_REDIS_URL", "redis://127.0.0.1:1/0")
    for arguments in (["list"], ["show", "msg_1_crm"], ["retry", "--all"]):
        result = await run(*arguments)
        assert result.exit_code == 1
        assert "Redis at 127.0.0.1" in result.output
    monkeypatch.setenv("RELAY_REDIS_URL", "http://x")
    assert "RELAY_REDIS_URL" in (await run("list")).output


async def test_an_endpoint_is_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It receives a signed event; the exit status is whether it accepted it. Secrets are not printed."""
    path = tmp_path / "webhooks.json"
    for name, value in {
        "WEBHOOKS_FILE": str(path), "WEBHOOK_HOSTS": "127.0.0.1", "WEBHOOK_HTTP": "true",
        "WEBHOOK_PRIVATE_NETWORKS": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"RELAY_{name}", value)
    async with receiving() as receiver:
        entries = [{"url": f"{receiver.url}/{name}", "secrets": [SECRET], "name": name} for name in "ab"]
        await asyncio.to_thread(path.write_text, json.dumps({"*": entries}))

        [result] = await objects("test", "a")
        assert (result["endpoint"], result["outcome"], result["status"]) == ("a", "delivered", 204)
        assert len(await objects("test", "*")) == 2
        receiver.answer = answers(500)
        failed = await run("test", "b")
        assert failed.exit_code == 1
        assert failed.output.strip() == "b: failed with 500"
        unknown = await run("test", "c")
        assert unknown.exit_code == 1
        assert "there is no endpoint c in RELAY_WEBHOOKS_FILE; there are: a, b" in unknown.output

    assert [received.json["type"] for received in receiver.received] == ["webhook.test"] * 4
    assert receiver.forged == 0
    await asyncio.to_thread(path.write_text, json.dumps({"*": [{"url": "x", "secrets": ["hunter2"]}]}))
    broken = await run("test", "a")
    assert "RELAY_WEBHOOKS_FILE: *[0].url" in broken.output
    assert "hunter2" not in broken.output

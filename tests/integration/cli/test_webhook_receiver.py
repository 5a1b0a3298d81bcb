"""The demo's receiver: keeps what is signed with its secret, once, and nothing else."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
from blockbuster import BlockBuster

from relay_cli.webhook_receiver import WebhookReceiver
from relay_jobs.webhooks import signature


def _endpoint(receiver: WebhookReceiver) -> dict[str, Any]:
    """The endpoint that the jobs service would send to."""
    path = Path(receiver.settings["RELAY_WEBHOOKS_FILE"])
    [endpoint] = json.loads(path.read_text("utf-8"))["*"]
    found: dict[str, Any] = endpoint
    return found


async def _send(receiver: WebhookReceiver, kind: str, order: int, *, secret: str = "") -> int:
    endpoint = _endpoint(receiver)
    body = json.dumps({"type": kind, "data": {"conversation": "c", "order": order}}).encode()
    key = signature.secret_key(secret or endpoint["secrets"][0])
    headers = signature.headers([key], f"msg_{order}", int(time.time()), body)
    async with (
        aiohttp.ClientSession() as http,
        http.post(endpoint["url"], data=body, headers=headers) as response,
    ):
        return response.status


async def test_what_is_signed_is_kept_in_order(tmp_path: Path, no_blocking: BlockBuster) -> None:
    """Whatever order and however often it arrives; a conversation is complete when no number is missing."""
    no_blocking.deactivate()
    async with WebhookReceiver(tmp_path) as receiver:
        complete = asyncio.create_task(receiver.until_complete("c"))
        assert await _send(receiver, "conversation.ended", 3) == 204
        assert await _send(receiver, "conversation.started", 1) == 204
        assert await _send(receiver, "conversation.started", 1) == 204
        await asyncio.sleep(0)
        assert not complete.done()
        assert await _send(receiver, "turn.ended", 2) == 204
        await complete

        kinds = [body["type"] for body in receiver.of("c")]
        assert kinds == ["conversation.started", "turn.ended", "conversation.ended"]
        assert receiver.of("another") == []


async def test_what_is_not_signed_is_rejected(tmp_path: Path, no_blocking: BlockBuster) -> None:
    """Another secret, or no signature at all."""
    no_blocking.deactivate()
    async with WebhookReceiver(tmp_path) as receiver:
        assert await _send(receiver, "turn.ended", 1, secret=f"whsec_{'A' * 44}") == 401
        async with (
            aiohttp.ClientSession() as http,
            http.post(_endpoint(receiver)["url"], data=b"{}") as response,
        ):
            assert response.status == 401
        assert (receiver.received, receiver.rejected) == ([], 2)

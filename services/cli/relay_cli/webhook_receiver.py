"""A receiver of webhooks on this machine: verifies each, and keeps what it has received."""

import asyncio
import base64
import json
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aiohttp import web

from relay_jobs.webhooks import signature
from relay_runtime.http import listen
from relay_runtime.lifetime import Lifetime

_PATH = "/webhooks"


class WebhookReceiver(Lifetime):
    """Receives webhooks on a free loopback port. Enter it to listen; leaving ends that.

    Args:
        directory: The directory of the file that names it as an endpoint.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._file = directory / "webhooks.json"
        self._secret = signature.SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
        self._changed = asyncio.Event()
        self.received: list[dict[str, Any]] = []
        """The bodies of verified webhooks, each once, in the order of their arrival."""
        self.rejected = 0
        """Requests whose signature is wrong."""
        self._ids: set[str] = set()

    async def _open(self, stack: AsyncExitStack) -> None:
        app = web.Application()
        app.router.add_post(_PATH, self._receive)
        url = await stack.enter_async_context(listen(app, "127.0.0.1", 0))
        endpoint = {"url": f"{url}{_PATH}", "secrets": [self._secret], "name": "demo"}
        await asyncio.to_thread(self._file.write_text, json.dumps({"*": [endpoint]}), "utf-8")

    @property
    def settings(self) -> Mapping[str, str]:
        """The variables with which the jobs service sends webhooks here."""
        return {
            "RELAY_WEBHOOKS_FILE": str(self._file),
            "RELAY_WEBHOOK_HOSTS": "127.0.0.1",
            "RELAY_WEBHOOK_HTTP": "true",
            "RELAY_WEBHOOK_PRIVATE_NETWORKS": "true",
        }

    def of(self, conversation: str) -> list[dict[str, Any]]:
        """The webhooks of a conversation, by their order number."""
        found = [body for body in self.received if body["data"]["conversation"] == conversation]
        return sorted(found, key=lambda body: int(body["data"]["order"]))

    async def until_complete(self, conversation: str) -> None:
        """Wait until every webhook of a conversation that has ended is here."""
        while True:
            self._changed.clear()
            found = self.of(conversation)
            numbers = [body["data"]["order"] for body in found]
            ended = bool(found) and found[-1]["type"] == "conversation.ended"
            if ended and numbers == list(range(1, len(numbers) + 1)):
                return
            await self._changed.wait()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self._is_signed(request.headers, body):
            self.rejected += 1
            return web.Response(status=401)
        delivery = request.headers["webhook-id"]
        if delivery not in self._ids:
            self._ids.add(delivery)
            self.received.append(json.loads(body))
            self._changed.set()
        return web.Response(status=204)

    def _is_signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        delivery, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not sent_at.isdecimal():
            return False
        key = signature.secret_key(self._secret)
        expected = signature.headers([key], delivery, int(sent_at), body)["webhook-signature"]
        return secrets.compare_digest(expected, headers.get("webhook-signature", ""))

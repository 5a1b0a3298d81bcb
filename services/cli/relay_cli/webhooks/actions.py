"""What the commands of ``avatar-relay webhooks`` do."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from relay_jobs.webhooks.endpoint_file import EndpointFile, rules_of
from relay_jobs.webhooks.endpoints import Endpoint
from relay_jobs.webhooks.sender import open_sender
from relay_jobs.webhooks.signature import headers
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_settings.base import SettingsError
from relay_settings.redis_url import RedisUrl
from relay_settings.store import StoreSettings
from relay_settings.webhooks import WebhookSettings
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_streams.webhooks import Deliveries, Delivery

_TIMEOUT_S = 5.0


class WebhookError(Exception):
    """Raised when a command cannot do its work; the text has the reason."""


class Filter(NamedTuple):
    """Which deliveries are wanted; empty texts are any."""

    state: Literal["due", "dead"]
    endpoint: str = ""
    type: str = ""
    conversation: str = ""

    def matches(self, delivery: Delivery) -> bool:
        """Whether a delivery of this state is wanted."""
        facts = delivery.facts
        pairs = (
            (self.endpoint, facts.endpoint), (self.type, facts.type), (self.conversation, facts.conversation)
        )  # fmt: skip
        return all(wanted in ("", has) for wanted, has in pairs)


async def found(wanted: Filter, limit: int) -> tuple[list[Delivery], bool]:
    """The first deliveries that match, and whether there are more.

    Raises:
        WebhookError: Redis cannot be read.
    """
    deliveries: list[Delivery] = []
    async with _store() as store:
        async for delivery in store.all(wanted.state):
            if wanted.matches(delivery):
                if len(deliveries) == limit:
                    return deliveries, True
                deliveries.append(delivery)
    return deliveries, False


async def one(name: str) -> Delivery:
    """A delivery by its id.

    Raises:
        WebhookError: There is none, or Redis cannot be read.
    """
    async with _store() as store:
        return await _one(store, name)


async def retried(names: Sequence[str], endpoint: str) -> list[str]:
    """Make dead letters due now; returns their ids.

    Args:
        names: Those; none: all that match.
        endpoint: The endpoint's name; empty: any.

    Raises:
        WebhookError: One of ``names`` is no dead letter, or Redis cannot be used.
    """
    retried: list[str] = []
    async with _store() as store:
        if names:
            letters = [await _one(store, name) for name in names]
        else:
            wanted = Filter("dead", endpoint)
            letters = [letter async for letter in store.all("dead") if wanted.matches(letter)]
        for letter in letters:
            if await store.retry(letter.place):
                retried.append(letter.place.delivery)
            elif names:
                raise WebhookError(f"{letter.place.delivery} is no dead letter: it is {letter.state}")
    return retried


async def tested(name: str) -> list[dict[str, Any]]:
    """Send a test event; returns what came of it, by endpoint.

    Args:
        name: The endpoint's, or else the id of an API key, or ``*``.

    Raises:
        WebhookError: The settings are wrong, or name no such endpoint.
    """
    try:
        settings = WebhookSettings.load()
        file = EndpointFile(settings)
        await file.open()
    except SettingsError as error:
        raise WebhookError(str(error)) from None
    known = file.endpoints.by_name
    wanted = [known[name]] if name in known else [each for each in known.values() if each.key_id == name]
    if not wanted:
        names = ", ".join(sorted(known)) or "none"
        raise WebhookError(f"there is no endpoint {name} in RELAY_WEBHOOKS_FILE; there are: {names}")
    return [await _tested(settings, endpoint) for endpoint in wanted]


async def _tested(settings: WebhookSettings, endpoint: Endpoint) -> dict[str, Any]:
    now = time.time()
    timestamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = msgspec.json.encode({"type": "webhook.test", "timestamp": timestamp, "data": {}})
    delivery = f"msg_{secrets.token_hex(16)}_{endpoint.name}"
    async with open_sender(
        rules_of(settings), connect_s=settings.webhook_connect_s, timeout_s=settings.webhook_timeout_s
    ) as sender:
        result = await sender.send(endpoint, headers(endpoint.keys, delivery, int(now), body), body)
    seconds = round(time.time() - now, 3)
    return {
        "endpoint": endpoint.name, "delivery": delivery, "outcome": result.outcome, "status": result.status,
        "seconds": seconds,
    }  # fmt: skip


async def _one(store: Deliveries, name: str) -> Delivery:
    try:
        delivery = await store.find(name)
    except ValueError as error:
        raise WebhookError(str(error)) from None
    if delivery is None:
        raise WebhookError(
            f"Redis has no delivery {name}: it was delivered some time ago, or is older than dead letters may"
            " be, or RELAY_REDIS_URL, RELAY_KEY_PREFIX or RELAY_PARTITIONS differ from the relay's"
        )
    return delivery


@asynccontextmanager
async def _store() -> AsyncIterator[Deliveries]:
    try:
        settings = StoreSettings.load()
    except SettingsError as error:
        raise WebhookError(str(error)) from None
    async with RedisClient(settings.store_url, SCHEMA, name="webhooks", timeout_s=_TIMEOUT_S) as client:
        try:
            yield Deliveries(client, KeySpace.of(settings))
        except StoreError as error:
            where = RedisUrl.parse(settings.store_url).where
            raise WebhookError(f"Redis at {where}: {error}") from None

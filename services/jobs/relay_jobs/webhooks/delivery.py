"""Delivery: one attempt of one webhook, from the claim in the store to the recorded result."""

import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, get_args

import structlog
from prometheus_client import Counter, Histogram

from relay_jobs.webhooks.endpoint_file import EndpointFile, rules_of
from relay_jobs.webhooks.plan import endpoint_of
from relay_jobs.webhooks.retries import Next, Outcome, Policy, Reason, Result
from relay_jobs.webhooks.sender import Sender, open_sender
from relay_jobs.webhooks.signature import headers
from relay_settings.webhooks import WebhookSettings
from relay_streams.webhooks import Attempt, Deliveries, Entry, Finding, Place
from relay_telemetry.counter import counter

_ENDPOINT_FAULTS: Final = frozenset(
    {"redirected", "failed", "timed_out", "unreachable", "untrusted", "forbidden"}
)
"""Outcomes after which the endpoint has one attempt at a time, and then rests."""
_TOO_MANY: Final = 429
_BUSY_WAIT_S: Final = 0.5
"""Mean wait of a delivery whose endpoint has all its attempts running."""

ATTEMPTS = counter(
    "relay_jobs_webhook_attempts_total",
    "Attempts to deliver a webhook that have ended, by outcome.",
    outcome=get_args(Outcome),
)
SETTLED = counter(
    "relay_jobs_webhook_deliveries_total",
    "Webhooks that are delivered, or became dead letters.",
    outcome=("delivered", "dead"),
)
DEAD_LETTERS = counter(
    "relay_jobs_webhook_dead_letters_total",
    "Webhooks that became dead letters, by the reason that ended their attempts.",
    reason=get_args(Reason),
)
DISCARDED = Counter(
    "relay_jobs_webhook_dead_letters_discarded_total",
    "Dead letters that were discarded because their partition had RELAY_WEBHOOK_DEAD_LETTERS of them.",
)
POSTPONED = counter(
    "relay_jobs_webhook_postponed_total",
    "Times that a due delivery waited because its endpoint had all its attempts running, or rested.",
    reason=("busy", "resting"),
)
DAMAGED = Counter(
    "relay_jobs_webhook_damaged_total", "Deliveries that could not be read, and were not attempted."
)
ATTEMPT_SECONDS = Histogram(
    "relay_jobs_webhook_attempt_seconds",
    "Time of one request to an endpoint, until its answer or its failure.",
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60),
)
DELIVERY_SECONDS = Histogram(
    "relay_jobs_webhook_delivery_seconds",
    "Time from an event until its webhook was delivered, all attempts and waits included.",
    buckets=(0.1, 0.3, 1, 3, 10, 30, 120, 600, 3600, 21_600, 86_400, 259_200),
)

log = structlog.get_logger(__name__)


class Webhooks:
    """What a worker needs to deliver webhooks.

    Args:
        settings: Bounds and times.
        deliveries: The store.
        file: Has the endpoints.
        sender: Sends requests.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        deliveries: Deliveries,
        file: EndpointFile,
        sender: Sender,
    ) -> None:
        self._settings = settings
        self._deliveries = deliveries
        self._file = file
        self._sender = sender
        self._policy = Policy(
            settings.webhook_backoff_s,
            settings.webhook_max_backoff_s,
            settings.webhook_attempts,
            settings.webhook_give_up_s,
        )

    async def deliver(self, place: Place) -> None:
        """Make one attempt, if one may begin now.

        Safe to repeat: the store issues each attempt once. Cancelling leaves it to the next attempt, once the
        claim has expired.

        Raises:
            StoreError: Redis cannot run it now; the delivery stays due.
        """
        name, slot = endpoint_of(place.delivery), secrets.token_hex(8)
        entry = await self._deliveries.enter(
            name,
            slot,
            most=self._settings.webhook_connections,
            hold_s=self._settings.webhook_claim_s,
        )
        if entry.state != "entered":
            await self._postpone(place, entry)
            return
        result: Result | None = None
        try:
            result = await self._attempt(place)
        finally:
            await self._leave(name, slot, result)

    async def _attempt(self, place: Place) -> Result | None:
        try:
            attempt = await self._deliveries.begin(place, claim_s=self._settings.webhook_claim_s)
        except ValueError as error:
            DAMAGED.inc()
            log.error("damaged webhook", delivery=place.delivery, error=str(error))
            return None
        if attempt is None:
            return None
        began = time.monotonic()
        result = await self._send(place.delivery, attempt)
        ATTEMPT_SECONDS.observe(time.monotonic() - began)
        ATTEMPTS.labels(result.outcome).inc()
        await self._finish(place, attempt, result)
        return result

    async def _send(self, delivery: str, attempt: Attempt) -> Result:
        endpoint = (await self._file.current()).by_name.get(attempt.facts.endpoint)
        if endpoint is None:
            return Result("unknown_endpoint")
        signed = headers(endpoint.keys, delivery, int(time.time()), attempt.body)
        return await self._sender.send(
            endpoint, {**signed, "relay-attempt": str(attempt.number)}, attempt.body
        )

    async def _finish(self, place: Place, attempt: Attempt, result: Result) -> None:
        following = self._policy.next(
            result,
            attempts=attempt.number - attempt.spent,
            age_s=attempt.age_s,
            random_share=random.random(),  # noqa: S311  # spreads load, guards nothing
        )
        discarded = await self._deliveries.finish(
            place,
            attempt.number,
            following.state,
            wait_s=following.wait_s,
            outcome=result.outcome,
            status=result.status,
            keep_delivered_s=self._settings.webhook_delivered_s,
            most_dead=self._settings.webhook_dead_letters,
        )
        if discarded is not None:
            DISCARDED.inc(discarded)
            _report(place, attempt, result, following)

    async def _postpone(self, place: Place, entry: Entry) -> None:
        wait_s = entry.rest_ms / 1000 + _BUSY_WAIT_S * 2 * random.random()  # noqa: S311  # spreads load
        if await self._deliveries.postpone(place, wait_s):
            POSTPONED.labels("resting" if entry.state == "resting" else "busy").inc()

    async def _leave(self, name: str, slot: str, result: Result | None) -> None:
        await self._deliveries.leave(
            name, slot, finding=_finding(result), most_rest_s=self._settings.webhook_rest_s
        )


@asynccontextmanager
async def open_webhooks(settings: WebhookSettings, deliveries: Deliveries) -> AsyncIterator[Webhooks]:
    """What a worker needs to deliver webhooks, while the block runs.

    Raises:
        SettingsError: The file of endpoints cannot be used.
    """
    file = EndpointFile(settings)
    await file.open()
    async with open_sender(
        rules_of(settings), connect_s=settings.webhook_connect_s, timeout_s=settings.webhook_timeout_s
    ) as sender:
        yield Webhooks(settings, deliveries, file, sender)


def _finding(result: Result | None) -> Finding:
    """What a result shows of the endpoint itself."""
    if result is None or result.outcome == "unknown_endpoint":
        return "nothing"
    return "fault" if result.outcome in _ENDPOINT_FAULTS or result.status == _TOO_MANY else "answer"


def _report(place: Place, attempt: Attempt, result: Result, following: Next) -> None:
    facts = attempt.facts
    fields = {
        "delivery": place.delivery, "endpoint": facts.endpoint, "type": facts.type,
        "conversation": facts.conversation, "attempt": attempt.number, "outcome": result.outcome,
        "status": result.status,
    }  # fmt: skip
    if following.state == "delivered":
        SETTLED.labels("delivered").inc()
        DELIVERY_SECONDS.observe(max(0.0, time.time() - facts.at_ms / 1000))
        log.debug("webhook delivered", **fields)
    elif following.state == "dead":
        SETTLED.labels("dead").inc()
        if following.reason is not None:
            DEAD_LETTERS.labels(following.reason).inc()
        log.error("webhook is a dead letter", **fields, reason=following.reason)
    else:
        log.warning("webhook failed", **fields, next_in_s=round(following.wait_s, 3))

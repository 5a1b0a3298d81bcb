"""Webhooks in the store: deliveries that are due, their attempts, and dead letters, per partition.

A delivery is one event for one endpoint. It is planned together with the consumption of its event, and
planning it again changes nothing. Whoever begins an attempt holds the delivery for a time; when no result is
recorded until then, as after a kill, the delivery is due again, and its next attempt has the next number.
The clock is that of Redis.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final, Literal, NamedTuple, Self

import msgspec

from relay_redis.client import RedisClient
from relay_streams.conversations import fields_of
from relay_streams.keys import KeySpace, PartitionKeys
from relay_streams.outbox import Write
from relay_streams.scripts.begin_delivery import begin_delivery
from relay_streams.scripts.call import run
from relay_streams.scripts.due_deliveries import due_deliveries
from relay_streams.scripts.enter_endpoint import Entry, enter_endpoint
from relay_streams.scripts.finish_delivery import finish_delivery
from relay_streams.scripts.leave_endpoint import Finding, leave_endpoint
from relay_streams.scripts.postpone_delivery import postpone_delivery
from relay_streams.scripts.retry_delivery import retry_delivery

__all__ = [
    "Attempt",
    "Backlog",
    "Deliveries",
    "Delivery",
    "Entry",
    "Facts",
    "Finding",
    "Place",
    "Standing",
    "planned",
]

State = Literal["due", "delivered", "dead"]

_FAULTS: Final = 5
"""Faults of an endpoint in a row after which it rests."""
_FIRST_REST_MS: Final = 1000
_PAGE: Final = 200
"""Deliveries read at a time."""


class Facts(msgspec.Struct, frozen=True):
    """What never changes of a delivery, besides its body."""

    endpoint: str
    """The endpoint's name."""
    event: str
    """The event's id."""
    type: str
    conversation: str
    order: int
    at_ms: int
    """When it happened, in ms since the epoch."""


class Attempt(NamedTuple):
    """An attempt that the caller, and nobody else, may make."""

    number: int
    """From 1; no two attempts of a delivery have the same."""
    spent: int
    """The number of the last attempt before a retry by hand; 0: there was none."""
    age_s: float
    """Since the first attempt, or the retry by hand."""
    facts: Facts
    body: bytes


class Place(NamedTuple):
    """Where a delivery is."""

    partition: int
    delivery: str


class Standing(NamedTuple):
    """What the last attempts have shown of an endpoint."""

    failures: int
    """Since its last answer."""
    rest_s: float
    """For how long no attempt begins; 0: one may."""


class Backlog(NamedTuple):
    """How many deliveries the store has."""

    pending: int
    """Neither delivered nor dead letters."""
    due: int
    """Of these, those whose next attempt could begin now."""
    oldest_due_ms: int
    """Since when the first of these is due, in ms since the epoch; 0: none is."""
    dead: int


class Delivery(NamedTuple):
    """A delivery as it is now."""

    place: Place
    facts: Facts
    state: State
    attempts: int
    body: bytes
    """Empty once it is delivered."""
    outcome: str
    """Of the last attempt that ended; empty before."""
    status: int
    """Of its answer; 0: there was none."""
    ended_ms: int
    """When it ended; 0: none has."""
    due_ms: int
    """The earliest time of the next attempt; 0: at once."""

    @classmethod
    def from_fields(cls, place: Place, fields: dict[bytes, bytes]) -> Self:
        """Read a delivery.

        Raises:
            ValueError: It is damaged.
        """
        try:
            facts = msgspec.json.decode(fields[b"facts"], type=Facts)
        except (KeyError, msgspec.DecodeError):
            raise ValueError(f"the delivery {place.delivery} is damaged") from None
        state = fields.get(b"state", b"")
        return cls(
            place,
            facts,
            "delivered" if state == b"delivered" else "dead" if state == b"dead" else "due",
            _number(fields, b"attempts"),
            fields.get(b"body", b""),
            fields.get(b"outcome", b"").decode(errors="replace"),
            _number(fields, b"status"),
            _number(fields, b"ended"),
            _number(fields, b"due"),
        )


def planned(keys: PartitionKeys, delivery: str, facts: Facts, body: bytes) -> tuple[Write, ...]:
    """The writes that plan a delivery; together with a task for it. Repeating them changes nothing."""
    webhook = keys.webhook(delivery)
    return (
        Write("HSETNX", webhook, ("facts", msgspec.json.encode(facts))),
        Write("HSETNX", webhook, ("body", body)),
        Write("ZADD", keys.webhooks_due, (facts.at_ms, delivery)),
        Write("ZADD", keys.webhooks_sent, (facts.at_ms, delivery)),
    )


class Deliveries:
    """The deliveries of a relay. Every method raises ``StoreError`` when Redis cannot run it now.

    Args:
        client: Runs the scripts.
        keys: The key space.
    """

    def __init__(self, client: RedisClient, keys: KeySpace) -> None:
        self._client = client
        self._keys = keys
        self._partitions = [keys.shared(partition) for partition in range(keys.partitions)]

    async def begin(self, place: Place, *, claim_s: float) -> Attempt | None:
        """Begin the next attempt, for ``claim_s`` at most.

        Cancelling may leave it begun: it counts as failed then, and the delivery is due after ``claim_s``.

        Returns:
            None when there is nothing to do now: it is claimed, not due, settled or unknown.

        Raises:
            ValueError: The delivery is damaged.
        """
        call = begin_delivery(self._of(place), place.delivery, claim_ms=_ms(claim_s))
        begun = await run(self._client, call)
        if begun is None:
            return None
        try:
            facts = msgspec.json.decode(begun.facts, type=Facts)
        except msgspec.DecodeError:
            raise ValueError(f"the delivery {place.delivery} is damaged") from None
        return Attempt(begun.number, begun.spent, begun.age_ms / 1000, facts, begun.body)

    async def finish(
        self,
        place: Place,
        attempt: int,
        state: State,
        *,
        wait_s: float = 0.0,
        outcome: str,
        status: int = 0,
        keep_delivered_s: float,
        most_dead: int,
    ) -> int | None:
        """Record the result of an attempt. Safe to repeat.

        Returns:
            How many dead letters were discarded at the bound. None when another attempt has begun since and
            this one was no success, or the delivery was delivered before: nothing was recorded.
        """
        call = finish_delivery(
            self._of(place),
            place.delivery,
            attempt=attempt,
            state=state,
            wait_ms=_ms(wait_s),
            outcome=outcome,
            status=status,
            keep_delivered_ms=_ms(keep_delivered_s),
            most_dead=most_dead,
        )
        return await run(self._client, call)

    async def postpone(self, place: Place, wait_s: float) -> bool:
        """Have a due delivery looked at again after a time; False when none could begin now anyway."""
        call = postpone_delivery(self._of(place), place.delivery, wait_ms=_ms(wait_s))
        return await run(self._client, call)

    async def retry(self, place: Place) -> bool:
        """Make a dead letter due now; False when it is none."""
        return await run(self._client, retry_delivery(self._of(place), place.delivery))

    async def due(self, partition: int, *, limit: int, resend_s: float, keep_dead_s: float) -> list[Place]:
        """Find deliveries that are due, with no task sent for ``resend_s``; they count as sent now.

        Looks at the first ``limit`` that are due. Also removes dead letters older than ``keep_dead_s``.
        """
        call = due_deliveries(
            self._partitions[partition],
            limit=limit,
            resend_ms=_ms(resend_s),
            keep_dead_ms=_ms(keep_dead_s),
        )
        return [Place(partition, delivery) for delivery in await run(self._client, call)]

    async def enter(self, endpoint: str, slot: str, *, most: int, hold_s: float) -> Entry:
        """Take a slot of an endpoint, for ``hold_s`` at most; it has ``most`` slots, one after a fault.

        Args:
            endpoint: The endpoint's name.
            slot: A unique name.
            most: The slots of an endpoint that answers.
            hold_s: Time after which the slot is free by itself.
        """
        call = enter_endpoint(self._at(endpoint), endpoint, slot, most=most, hold_ms=_ms(hold_s))
        return await run(self._client, call)

    async def leave(self, endpoint: str, slot: str, *, finding: Finding, most_rest_s: float) -> float:
        """Free a slot; returns for how many seconds no attempt begins at the endpoint."""
        call = leave_endpoint(
            self._at(endpoint),
            endpoint,
            slot,
            finding=finding,
            tolerated=_FAULTS,
            first_rest_ms=_FIRST_REST_MS,
            most_rest_ms=_ms(most_rest_s) if most_rest_s else 0,
        )
        return await run(self._client, call) / 1000

    async def standings(self, endpoints: Iterable[str]) -> dict[str, Standing]:
        """What is known of endpoints, by name; those whose last attempt was answered are left out."""
        names = list(endpoints)
        found = await asyncio.gather(*map(self._standing, names))
        return {name: standing for name, standing in zip(names, found, strict=True) if standing.failures}

    async def backlog(self) -> Backlog:
        """Count deliveries, of all partitions."""
        counts = await asyncio.gather(*map(self._backlog, self._partitions))
        return Backlog(
            sum(count.pending for count in counts),
            sum(count.due for count in counts),
            min((count.oldest_due_ms for count in counts if count.due), default=0),
            sum(count.dead for count in counts),
        )

    async def read(self, place: Place) -> Delivery | None:
        """Read one delivery; None when it is unknown.

        Raises:
            ValueError: It is damaged.
        """
        fields = fields_of(await self._client.execute("HGETALL", self._of(place).webhook(place.delivery)))
        return Delivery.from_fields(place, fields) if fields else None

    async def find(self, delivery: str) -> Delivery | None:
        """Search all partitions for a delivery; None when it is unknown.

        Raises:
            ValueError: It is damaged.
        """
        places = [Place(keys.partition, delivery) for keys in self._partitions]
        found = await asyncio.gather(*map(self.read, places))
        return next(filter(None, found), None)

    async def all(self, state: Literal["due", "dead"]) -> AsyncIterator[Delivery]:
        """Every delivery that is pending, or every dead letter: partition by partition, oldest first.

        Damaged ones are left out.
        """
        for keys in self._partitions:
            key = keys.webhooks_dead if state == "dead" else keys.webhooks_due
            names = await self._client.execute("ZRANGEBYSCORE", key, "-inf", "+inf")
            for start in range(0, len(names), _PAGE):
                places = [
                    Place(keys.partition, name.decode(errors="replace"))
                    for name in names[start : start + _PAGE]
                ]
                for found in await asyncio.gather(*map(self._whole, places)):
                    if found is not None and found.state == state:
                        yield found

    async def _whole(self, place: Place) -> Delivery | None:
        try:
            return await self.read(place)
        except ValueError:
            return None

    async def _backlog(self, keys: PartitionKeys) -> Backlog:
        client, now = self._client, int(time.time() * 1000)
        pending, due, first, dead = await asyncio.gather(
            client.execute("ZCARD", keys.webhooks_due),
            client.execute("ZCOUNT", keys.webhooks_due, "-inf", now),
            client.execute("ZRANGEBYSCORE", keys.webhooks_due, "-inf", now, "WITHSCORES", "LIMIT", 0, 1),
            client.execute("ZCARD", keys.webhooks_dead),
        )
        return Backlog(pending, due, int(float(first[1])) if first else 0, dead)

    async def _standing(self, endpoint: str) -> Standing:
        fields = fields_of(
            await self._client.execute("HGETALL", self._at(endpoint).webhook_endpoint(endpoint))
        )
        rest_s = _number(fields, b"rests") / 1000 - time.time()
        return Standing(_number(fields, b"failures"), max(0.0, rest_s))

    def _of(self, place: Place) -> PartitionKeys:
        return self._partitions[place.partition]

    def _at(self, endpoint: str) -> PartitionKeys:
        return self._partitions[self._keys.partition(endpoint)]


def _number(fields: dict[bytes, bytes], name: bytes) -> int:
    text = fields.get(name, b"0")
    return int(text) if text.isdigit() and len(text) <= 16 else 0


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))

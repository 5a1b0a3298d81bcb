"""The outbox: what has happened in conversations, read by the jobs service and consumed entry by entry.

An entry is appended in the script call that makes it true (``scripts/publish.lua``, ``scripts/create.lua``),
so none is missing for what is published, and none exists for what is not. Consumers of one group share the
entries. An entry stays pending until ``OutboxConsumer.consume`` removes it together with what follows from
it; a consumer that dies in between delays it by ``reclaim_ms``, and changes nothing else.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import structlog

from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_streams.keys import KeySpace, PartitionKeys
from relay_streams.scripts.call import run
from relay_streams.scripts.consume_outbox import Write, WriteCommand, consume_outbox
from relay_streams.scripts.read_outbox import read_outbox
from relay_telemetry.counter import counter
from relay_telemetry.trace_context import Context

__all__ = ["OutboxConsumer", "OutboxEvent", "OutboxState", "Write", "WriteCommand"]

FAILURES = counter(
    "relay_jobs_outbox_failures_total",
    "Reads of a partition's outbox that failed, and entries removed since they could not be read.",
    reason=("store", "damaged"),
)

log = structlog.get_logger(__name__)


class OutboxEvent(NamedTuple):
    """One entry of the outbox."""

    id: str
    """Unique; the same however often the event is appended, read or sent on."""
    order: int
    """Its number among the public events of its conversation, from 1 without a hole; 0: an internal event."""
    type: str
    conversation: str
    partition: int
    key_id: str
    """The API key that created the conversation; empty when a gateway did."""
    data: bytes
    """A JSON object."""
    trace: Context
    """The trace of its frame; none when that is not sampled."""
    viewer_ms: int
    """For how long the conversation had been watched, summed over its viewers."""
    at_ms: int
    """When it was appended, in ms since the epoch by the clock of Redis."""
    entry_id: str
    """The id in the stream."""

    @classmethod
    def from_fields(cls, partition: int, entry_id: str, fields: Mapping[bytes, bytes]) -> Self:
        """Read an entry.

        Raises:
            ValueError: It is damaged.
        """
        try:
            return cls(
                id=fields[b"id"].decode(),
                order=_count(fields.get(b"n", b"0")),
                type=fields[b"k"].decode(),
                conversation=fields[b"c"].decode(),
                partition=partition,
                key_id=fields.get(b"a", b"").decode(),
                data=fields[b"d"],
                trace=Context.decode(fields.get(b"t", b"").decode()),
                viewer_ms=_count(fields.get(b"v", b"0")),
                at_ms=int(entry_id.partition("-")[0]),
                entry_id=entry_id,
            )
        except KeyError as missing:
            raise ValueError(f"an entry without {missing}") from None


class OutboxState(NamedTuple):
    """How much of all outboxes waits."""

    waiting: int
    """Entries that are not consumed."""
    oldest_ms: int
    """When the oldest of them was appended, in ms since the epoch; 0: none waits."""
    discarded: int
    """Entries that the bounds have discarded since Redis has the count."""


class OutboxConsumer:
    """One consumer of the outboxes of all partitions.

    Args:
        client: Runs the scripts.
        keys: The key space.
        consumer: The name of this consumer; unique among living ones.
        limit: Most entries of one partition in one read.
        reclaim_ms: How long an entry may be pending before any consumer reads it again.
    """

    def __init__(
        self,
        client: RedisClient,
        keys: KeySpace,
        *,
        consumer: str,
        limit: int = 100,
        reclaim_ms: int = 10_000,
    ) -> None:
        self._client = client
        self._partitions = [keys.shared(partition) for partition in range(keys.partitions)]
        self._consumer = consumer
        self._limit = limit
        self._reclaim_ms = reclaim_ms

    async def read(self) -> list[OutboxEvent]:
        """Read events that no consumer has read, and those that have been pending for ``reclaim_ms``.

        Returns at once, with at most ``limit`` events of each partition, in the order in which they were
        appended there. Damaged entries are counted and removed. A partition that cannot be read is counted,
        and delays no other. What a cancelled call has read is read again after ``reclaim_ms``.

        Raises:
            StoreError: No partition can be read.
        """
        reads = await asyncio.gather(*map(self._read, self._partitions), return_exceptions=True)
        events: list[OutboxEvent] = []
        failures: list[StoreError] = []
        for read in reads:
            if isinstance(read, StoreError):
                FAILURES.labels("store").inc()
                failures.append(read)
            elif isinstance(read, BaseException):
                raise read
            else:
                events += read
        if len(failures) == len(reads):
            raise failures[0]
        return events

    async def consume(self, event: OutboxEvent, writes: Sequence[Write] = ()) -> bool:
        """Remove an event, and write what follows from it, in one step.

        Safe to repeat, and to cancel: it may have happened then.

        Returns:
            Whether this call did it. False: the event was consumed before, and nothing is written now.

        Raises:
            ValueError: A write is not allowed; nothing is written.
            StoreError: Redis cannot run it now; it may have happened.
        """
        call = consume_outbox(self._partitions[event.partition], entry=event.entry_id, writes=writes)
        return await run(self._client, call)

    async def state(self) -> OutboxState:
        """Measure what waits, of all partitions.

        Raises:
            StoreError: Redis cannot be read now.
        """
        states = await asyncio.gather(*map(self._state, self._partitions))
        return OutboxState(
            sum(state.waiting for state in states),
            min((state.oldest_ms for state in states if state.waiting), default=0),
            sum(state.discarded for state in states),
        )

    async def _read(self, partition: PartitionKeys) -> list[OutboxEvent]:
        call = read_outbox(partition, consumer=self._consumer, limit=self._limit, reclaim_ms=self._reclaim_ms)
        events = []
        for entry_id, fields in await run(self._client, call):
            try:
                events.append(OutboxEvent.from_fields(partition.partition, entry_id, fields))
            except ValueError as error:
                FAILURES.labels("damaged").inc()
                log.warning("damaged entry of the outbox", entry=entry_id, error=str(error))
                await run(self._client, consume_outbox(partition, entry=entry_id, writes=()))
        return events

    async def _state(self, partition: PartitionKeys) -> OutboxState:
        client, key = self._client, partition.outbox
        waiting, oldest, discarded = await asyncio.gather(
            client.execute("XLEN", key),
            client.execute("XRANGE", key, "-", "+", "COUNT", 1),
            client.execute("GET", partition.outbox_discarded),
        )
        oldest_ms = int(oldest[0][0].partition(b"-")[0]) if oldest else 0
        return OutboxState(waiting, oldest_ms, _count(discarded or b"0", damaged=0))


def _count(data: bytes, *, damaged: int | None = None) -> int:
    if data.isdigit() and len(data) <= 16:
        return int(data)
    if damaged is None:
        raise ValueError(f"not a number: {data[:32]!r}")
    return damaged

"""The publisher: appends owners' frames to their conversations' down streams.

What an event-loop tick appends to one conversation leaves as one atomic script call, and the calls
of all conversations of that tick leave in one write.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_streams.leases import Lease, UplinkProgress
from relay_streams.scripts import SCHEMA
from relay_streams.writer import Writer, WriterLimits


class Publisher:
    """All writers of a process, over one Redis client. Enter it to open the client; leaving closes it.

    Args:
        url: Where Redis is.
        timeout_s: Limit for one reply.
        retention_bytes: Bytes of frames that a stream keeps, when its current and previous turn have more.
        republish_bytes: Bytes of acknowledged frames kept per conversation, to append them again.
        outbox_entries: Most entries of the outbox, per partition.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        retention_bytes: int = 32 * 1024 * 1024,
        republish_bytes: int = 2 * 1024 * 1024,
        outbox_entries: int = 0,
    ) -> None:
        self.client = RedisClient(url, SCHEMA, name="publish", timeout_s=timeout_s)
        self._limits = WriterLimits(retention_bytes, republish_bytes, outbox_entries)
        self._scheduled: dict[Writer, None] = {}

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.client.__aexit__(kind, error, trace)

    def open(
        self,
        lease: Lease,
        *,
        progress: Callable[[], UplinkProgress],
        on_lost: Callable[[StoreError], None],
    ) -> Writer:
        """A writer for a conversation just claimed.

        Args:
            lease: The ownership.
            progress: Returns what its owner has read of the uplink; called when Redis has lost data.
            on_lost: Called once when the conversation is no longer ours: ``Fenced`` or ``Refused``. The
                writer is closed then.
        """
        return Writer(
            lease,
            client=self.client,
            schedule=self._schedule,
            limits=self._limits,
            progress=progress,
            on_lost=on_lost,
        )

    def _schedule(self, writer: Writer) -> None:
        """Flush the writer at the end of this tick."""
        if not self._scheduled:
            asyncio.get_running_loop().call_soon(self._flush)
        self._scheduled[writer] = None

    def _flush(self) -> None:
        scheduled, self._scheduled = self._scheduled, {}
        for writer in scheduled:
            writer.flush()

"""Visitors: viewers that bring no conversation. Each gets one of its own, which ends when it leaves."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import Counter
from ulid import ULID

from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_streams import conversations
from relay_streams.conversations import PUSH, Conversation
from relay_streams.errors import Ended
from relay_streams.keys import ConversationKeys, KeySpace
from relay_streams.uplink import Uplink, UplinkLimits
from relay_wire.frame import Codec
from relay_wire.uplink import Close

VISITS = Counter("relay_gateway_visits_total", "Conversations made for viewers that brought none.")
LEFT_OPEN = Counter("relay_gateway_visits_left_open_total", "Of these, how many could not be ended.")

log = structlog.get_logger(__name__)


class GuestConversations:
    """Makes conversations for visitors.

    Args:
        keys: Names of keys.
        client: To Redis.
        agent: Who answers them.
        limits: Of their uplinks.
    """

    def __init__(self, keys: KeySpace, client: RedisClient, agent: str, limits: UplinkLimits) -> None:
        self._agent = agent
        self._keys = keys
        self._client = client
        self._uplink = Uplink(client, limits)

    @asynccontextmanager
    async def conversation(self, *, avatar_id: str, sample_rate: int) -> AsyncIterator[ConversationKeys]:
        """A conversation that lives as long as the block.

        Raises:
            Unavailable: Redis cannot take it now.
        """
        record = Conversation(
            id=str(ULID()),
            state="open",
            avatar_id=avatar_id,
            sample_rate=sample_rate,
            codec=Codec.PCM_S16LE,
            created_ms=time.time_ns() // 1_000_000,
            agent=self._agent,
            talk_over="never" if self._agent == PUSH else "requests",
        )
        keys = self._keys.conversation(record.id)
        await conversations.create(self._client, keys, record)
        VISITS.inc()
        try:
            yield keys
        finally:
            await self._end(keys)

    async def _end(self, keys: ConversationKeys) -> None:
        try:
            await self._uplink.append(keys, Close("viewer_left"))
        except Ended:
            pass
        except StoreError as error:
            LEFT_OPEN.inc()
            log.warning("a visitor's conversation stays open", conversation=keys.id, error=str(error))

"""Guest conversations: each is created for one viewer that named none, and ends when the viewer leaves."""

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
from relay_streams.uplink import Uplink
from relay_wire.frame import Codec
from relay_wire.uplink import Close

GUESTS = Counter("relay_gateway_guests_total", "Conversations created for viewers that named none.")
LEFT_OPEN = Counter("relay_gateway_guests_left_open_total", "Guest conversations that could not be ended.")

log = structlog.get_logger(__name__)


class GuestConversations:
    """Creates and ends guest conversations.

    Args:
        keys: Names of keys.
        client: To Redis.
        uplink: Appends the end of a conversation.
        agent: The agent of the conversations.
        outbox_entries: Most entries of the outbox per partition; 0: nothing is stored for jobs.
    """

    def __init__(
        self, keys: KeySpace, client: RedisClient, uplink: Uplink, *, agent: str, outbox_entries: int
    ) -> None:
        self._agent = agent
        self._outbox_entries = outbox_entries
        self._keys = keys
        self._client = client
        self._uplink = uplink

    @asynccontextmanager
    async def conversation(self, *, avatar_id: str, sample_rate: int) -> AsyncIterator[ConversationKeys]:
        """A guest conversation, until the block ends.

        Raises:
            Unavailable: Redis cannot create it now.
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
        await conversations.create(self._client, keys, record, outbox_entries=self._outbox_entries)
        GUESTS.inc()
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
            log.warning("guest conversation left open", conversation=keys.id, error=str(error))

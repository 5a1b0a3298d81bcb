"""Replays: a recording, as the frames of a conversation that any gateway serves.

The conversation is in Redis like any other, with the recorded frames under their own positions. The replay
owns it, so no worker claims it; and its keys expire unless the replay renews them, so one that was killed
leaves nothing.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from relay_redis.client import RedisClient
from relay_streams.conversations import Conversation
from relay_streams.errors import Missing
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.append_replay import append_replay
from relay_streams.scripts.begin_replay import begin_replay
from relay_streams.scripts.call import Argument, run
from relay_wire.position import Position

KEEP_MS: Final = 60_000
"""How long the conversation stays without renewal: less than workers wait before they repair a lost one."""


class ReplayConversation:
    """The conversation of one replay. Every method but ``begin`` raises ``Missing`` when it is gone.

    Args:
        client: To Redis.
        keys: The conversation.
    """

    def __init__(self, client: RedisClient, keys: ConversationKeys) -> None:
        self.keys = keys
        self._client = client
        self._began_ms = 0
        self._lease = f"replay-{secrets.token_hex(8)} 0"

    async def begin(self, record: Conversation) -> bool:
        """Create it. False when there is a conversation of this id; nothing was written then."""
        fields = record._replace(recorded=False).founding_fields()
        call = begin_replay(self.keys, lease=self._lease, expires_ms=KEEP_MS, fields=fields)
        self._began_ms = await run(self._client, call)
        return self._began_ms > 0

    async def is_watched(self) -> bool:
        """Whether a viewer has come."""
        await self.append([])
        seen: bytes | None = await self._client.execute("HGET", self.keys.meta, "seen")
        return seen != str(self._began_ms).encode()

    async def append(
        self,
        frames: Sequence[bytes],
        fields: Mapping[str, Argument] | None = None,
        trim_to: Position | None = None,
    ) -> None:
        """Append frames, and renew the keys.

        Args:
            frames: The frames, as recorded, with growing positions.
            fields: Of the record, to write with them.
            trim_to: The oldest frame to keep, if that has changed.
        """
        call = append_replay(
            self.keys,
            lease=self._lease,
            expires_ms=KEEP_MS,
            trim_to=trim_to,
            fields=fields or {},
            frames=frames,
        )
        if not await run(self._client, call):
            raise Missing(f"the conversation {self.keys.id} is gone")

    async def end(self) -> None:
        """End it. Its record and its last frames stay for ``KEEP_MS``."""
        await self.append([], {"state": "ended"})

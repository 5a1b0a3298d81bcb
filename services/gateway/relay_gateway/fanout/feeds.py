"""All feeds of a gateway, one for each conversation with viewers."""

import asyncio

from relay_gateway.fanout.catch_up import CatchUp
from relay_gateway.fanout.feed import Feed
from relay_gateway.fanout.reader import FeedReader, Spawn
from relay_gateway.flush import WriteCoalescer
from relay_streams.consumer import StreamConsumer
from relay_streams.keys import ConversationKeys
from relay_wire.position import Position


class Feeds:
    """Opens a feed for the first viewer of a conversation, and closes it some time after the last has left.

    Args:
        consumer: Reads the streams.
        catch_up: Serves subscribers that are behind.
        spawn: Starts a task that the gateway owns.
        coalescer: Flushes the sockets.
        ring_bytes: Bound of each feed's ring.
        linger_s: How long a feed outlives its last subscriber: a viewer that reconnects finds its ring.
    """

    def __init__(
        self,
        consumer: StreamConsumer,
        catch_up: CatchUp,
        *,
        spawn: Spawn,
        coalescer: WriteCoalescer,
        ring_bytes: int,
        linger_s: float,
    ) -> None:
        self._consumer = consumer
        self._catch_up = catch_up
        self._spawn = spawn
        self._coalescer = coalescer
        self._ring_bytes = ring_bytes
        self._linger_s = linger_s
        self._readers: dict[str, FeedReader] = {}

    def attach(self, keys: ConversationKeys, last_position: Position, *, ended: bool) -> FeedReader:
        """The conversation's feed, from ``last_position`` on if there is none yet; pair with ``detach``.

        Args:
            keys: The conversation.
            last_position: The position of its last frame.
            ended: Whether it has ended.
        """
        reader = self._readers.get(keys.id)
        if reader is None:
            feed = Feed(last_position, ended=ended, ring_bytes=self._ring_bytes)
            reader = FeedReader(
                keys,
                feed,
                self._catch_up,
                spawn=self._spawn,
                coalescer=self._coalescer,
                on_failure=self._remove,
            )
            reader.start(self._consumer)
            self._readers[keys.id] = reader
        reader.users += 1
        return reader

    def detach(self, reader: FeedReader) -> None:
        """Release a feed for one viewer that has left."""
        reader.users -= 1
        if not reader.users:
            asyncio.get_running_loop().call_later(self._linger_s, self._remove_unused, reader)

    def close(self) -> None:
        """Close every feed."""
        for reader in list(self._readers.values()):
            self._remove(reader)

    def _remove_unused(self, reader: FeedReader) -> None:
        if not reader.users:
            self._remove(reader)

    def _remove(self, reader: FeedReader) -> None:
        reader.close()
        if self._readers.get(reader.keys.id) is reader:
            del self._readers[reader.keys.id]

"""Pub/sub: messages of sharded channels. Messages may be lost; subscriptions are restored."""

from contextlib import AsyncExitStack

from relay_redis.cluster_pubsub import ClusterPubSub
from relay_redis.endpoint import endpoint_of
from relay_redis.metrics import CONNECTED
from relay_redis.pubsub_connection import OnMessage, PubSubConnection
from relay_redis.refusals import Refusal
from relay_runtime.lifetime import Lifetime
from relay_runtime.tasks import TaskScope
from relay_settings.redis_url import RedisUrl


class PubSub(Lifetime):
    """Subscriptions to sharded channels. Enter it to open it; leaving closes it.

    Args:
        url: Where Redis is, as ``RedisUrl.parse`` reads it.
        on_message: Called with the channel and the payload of each message; and with an empty payload after
            every (re)subscription, since messages before it may have been lost. Called on the event loop;
            must not block or raise.
        name: Of the client, in logs and metrics.
        timeout_s: Limit for connecting and for the answer to a ping.
        ping_s: How often a silent connection is probed.
    """

    def __init__(
        self,
        url: str,
        on_message: OnMessage,
        *,
        name: str,
        timeout_s: float = 2.0,
        ping_s: float = 2.0,
    ) -> None:
        super().__init__()
        self.name = name
        self._callbacks: dict[bytes, OnMessage] = {}
        CONNECTED.labels(name)
        parsed = RedisUrl.parse(url)
        self._nodes: PubSubConnection | ClusterPubSub
        if parsed.topology == "cluster":
            self._nodes = ClusterPubSub(
                parsed, on_message, self._callbacks, name=name, timeout_s=timeout_s, ping_s=ping_s,
                on_change=self._on_change,
            )  # fmt: skip
        else:
            self._nodes = PubSubConnection(
                endpoint_of(parsed),
                name=name,
                timeout_s=timeout_s,
                ping_s=ping_s,
                on_message=on_message,
                callbacks=self._callbacks,
                on_change=self._on_change,
            )

    async def _open(self, stack: AsyncExitStack) -> None:
        scope = await stack.enter_async_context(TaskScope())
        scope.spawn(self._nodes.run(), name=f"redis-{self.name}")

    def subscribe(self, channel: str, on_message: OnMessage | None = None) -> None:
        """Subscribe to a channel; the callback is called once when the subscription is established.

        Args:
            channel: Its name.
            on_message: Called for this channel instead of the callback of all; subscribing with one again
                does nothing.

        Raises:
            Unencodable: The name has no UTF-8 form.
        """
        if on_message is not None:
            if channel.encode() in self._callbacks:
                return
            self._callbacks[channel.encode()] = on_message
        self._nodes.subscribe(channel)

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe from a channel."""
        self._nodes.unsubscribe(channel)

    @property
    def connected(self) -> bool:
        """Whether every server that serves channels is connected."""
        return self._nodes.connected

    @property
    def refusal(self) -> Refusal | None:
        """Why a server refuses subscriptions; None when none does."""
        return self._nodes.refusal

    def reconnect(self) -> None:
        """Close every connection, and open others where the channels are served now."""
        self._nodes.reconnect()

    def _on_change(self, _: PubSubConnection) -> None:
        CONNECTED.labels(self.name).set(self._nodes.connected)

"""Unsupported messages: the kinds of one viewer's messages that its conversation's agent does not accept."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import get_args

from relay_redis.errors import StoreError
from relay_telemetry.counter import counter
from relay_wire import events
from relay_wire.uplink import AgentMessage

_KINDS: Mapping[type[AgentMessage], str] = {
    message: re.sub(r"(?<!^)(?=[A-Z])", "_", message.__name__).lower() for message in get_args(AgentMessage)
}
UNSUPPORTED = counter(
    "relay_gateway_unsupported_messages_total",
    "Viewers informed that their conversation's agent does not answer a kind of message.",
    kind=_KINDS.values(),
)
_LOOKUPS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""The waits before each look-up of what the agent of a conversation without an owner accepts."""


class UnsupportedMessages:
    """Informs one viewer once of each kind of message that the agent does not accept.

    Nobody knows what is accepted before the conversation's first owner. A viewer that sends a message until
    then is informed as soon as an owner has claimed the conversation.

    Args:
        accepts: Reads the record's ``accepts``.
        send_event: Sends the viewer an event.
    """

    def __init__(
        self, *, accepts: Callable[[], Awaitable[str]], send_event: Callable[[events.GatewayEvent], None]
    ) -> None:
        self._accepts = accepts
        self._send_event = send_event
        self._informed = set[type[AgentMessage]]()
        self._open = set[type[AgentMessage]]()
        """The kinds of messages that were sent before it was known whether they are accepted."""
        self._lookup: asyncio.Task[None] | None = None

    def note(self, message: AgentMessage, *, accepted: bool | None) -> None:
        """Inform the viewer if its message is not accepted; None: look it up."""
        if accepted is None:
            self._open.add(type(message))
            if self._lookup is None or self._lookup.done():
                self._lookup = asyncio.create_task(self._look_up(), name="unsupported messages")
        elif not accepted:
            self._inform(type(message))

    def close(self) -> None:
        """End the look-up, since the viewer has left."""
        if self._lookup is not None:
            self._lookup.cancel()

    async def _look_up(self) -> None:
        for wait_s in _LOOKUPS_S:
            await asyncio.sleep(wait_s)
            with suppress(StoreError):
                if accepts := await self._accepts():
                    break
        else:
            return  # The viewer is informed that there is no owner, and its next message looks again.
        for message in self._open:
            if str(message.__struct_config__.tag) not in accepts.split():
                self._inform(message)
        self._open.clear()

    def _inform(self, message: type[AgentMessage]) -> None:
        if message not in self._informed:
            self._informed.add(message)
            UNSUPPORTED.labels(_KINDS[message]).inc()
            self._send_event(events.UnsupportedMessage(_KINDS[message]))

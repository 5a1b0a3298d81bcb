"""Viewers: the native protocol, with the token as a subprotocol, as browsers have it."""

import time
from collections.abc import Mapping
from typing import Any

from tests.load import verdict
from tests.load.client import Client
from tests.load.connection import Connection
from tests.load.conversations import Conversation
from tests.load.order import Arrival, FrameOrder

from relay_client.viewer import SUBPROTOCOL
from relay_wire import events, frame
from relay_wire.frame import Frame, FrameError

TOKEN_PREFIX = "avatar-relay.token."
_BREACHES: Mapping[Arrival, str] = {
    Arrival.GAP: verdict.GAP,
    Arrival.LOST: verdict.LOST,
    Arrival.REPEATED: verdict.REPEATED,
    Arrival.REORDERED: verdict.REORDERED,
}


class Viewer(Client):
    """A viewer that checks every frame's order, and measures its way from Redis to here."""

    weight = 1
    kind = "viewer"

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._order = FrameOrder()
        self._leave_at: float | None = None
        self._connected_us = 0

    def begin(self) -> None:
        """Begin before the first frame."""
        self._order = FrameOrder()

    def connect(self, gateway: str, conversation: Conversation) -> Connection:
        """Open a socket that continues after the last frame."""
        cursor = self._order.cursor
        url = (
            f"{gateway}/v1/conversations/{conversation.id}/stream?from={'turn' if cursor is None else cursor}"
        )
        self._leave_at, self._connected_us = None, time.time_ns() // 1000
        return Connection.open(url, subprotocols=[SUBPROTOCOL, TOKEN_PREFIX + self.token])

    def leaves(self) -> bool:
        """Whether a ``reconnect`` event's time has come."""
        return self._leave_at is not None and time.monotonic() >= self._leave_at

    def receive(self, message: bytes | str) -> bool:
        """Check a frame."""
        data = message.encode() if isinstance(message, str) else message
        try:
            received = frame.decode(data)
        except FrameError:
            self.report.failed(verdict.DELIVER, "not a frame")
            return False
        event = events.of_frame(data)
        self._on(event)
        self._check(received, self._order.admit(received, event), len(data))
        return self._order.ended

    def _on(self, event: events.Event | events.Unknown | None) -> None:
        match event:
            case events.Reconnect(after_ms):
                self._leave_at = time.monotonic() + after_ms / 1000
            case events.TokenRenewed(token):
                self.token = token

    def _check(self, received: Frame, arrival: Arrival, size_bytes: int) -> None:
        if arrival is Arrival.NOTICE:
            return
        if arrival in _BREACHES:
            self.report.failed(_BREACHES[arrival], f"at a viewer: {arrival.value}")
        if arrival is not Arrival.GAP:
            # What was published before the socket opened waited for the socket, not for the relay.
            is_live = received.published_at_us > self._connected_us
            latency_ms = max(time.time_ns() // 1000 - received.published_at_us, 0) / 1000
            self.report.succeeded(verdict.DELIVER if is_live else verdict.REPLAY, latency_ms, size_bytes)

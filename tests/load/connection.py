"""Connections: WebSockets of Locust's users, which the scenario can cut.

The sockets are gevent's: Locust patches the standard library, and ``websocket-client`` uses nothing else.
"""

import socket
import struct
from collections.abc import Sequence
from typing import Self

import websocket

from relay_wire.close_codes import ABNORMAL, NO_STATUS

HANDSHAKE_S = 10.0
"""Longest wait for a gateway's answer."""
TICK_S = 0.5
"""How long a wait for a message lasts, before the user looks at the clock."""


class Refused(Exception):
    """Raised when a handshake is refused, or the server cannot be reached: ``status`` is 0."""

    def __init__(self, status: int, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after_s = retry_after_s


class Closed(Exception):
    """Raised when the connection has ended; ``code`` is that of the close frame, or 1006."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Connection:
    """One open WebSocket."""

    def __init__(self, connected: websocket.WebSocket) -> None:
        self._socket = connected

    @classmethod
    def open(cls, url: str, *, headers: Sequence[str] = (), subprotocols: Sequence[str] = ()) -> Self:
        """Connect.

        Raises:
            Refused: The server refused, or could not be reached.
        """
        try:
            connected = websocket.create_connection(
                url, header=list(headers), subprotocols=list(subprotocols), timeout=HANDSHAKE_S,
                suppress_origin=True, skip_utf8_validation=True, enable_multithread=True,
            )  # fmt: skip
        except websocket.WebSocketBadStatusException as error:
            after = str((error.resp_headers or {}).get("retry-after", ""))
            raise Refused(error.status_code, str(error), int(after) if after.isdigit() else 0) from None
        except (websocket.WebSocketException, OSError) as error:
            raise Refused(0, f"{type(error).__name__}: {error}") from None
        connected.settimeout(TICK_S)
        return cls(connected)

    def receive(self) -> bytes | str | None:
        """The next message; None when none came within ``TICK_S``. Pings are answered.

        Raises:
            Closed: The connection has ended.
        """
        try:
            kind, data = self._socket.recv_data()
        except websocket.WebSocketTimeoutException:
            return None
        except (websocket.WebSocketException, OSError, ValueError, AttributeError):
            # The last two: the socket was cut while it was read.
            raise Closed(ABNORMAL.code) from None
        if kind == websocket.ABNF.OPCODE_CLOSE:
            raise Closed(struct.unpack_from(">H", data)[0] if len(data) > 1 else NO_STATUS.code)
        return bytes(data) if kind == websocket.ABNF.OPCODE_BINARY else str(data, "utf-8")

    def send(self, message: bytes | str) -> None:
        """Send a message.

        Raises:
            Closed: The connection has ended.
        """
        try:
            if isinstance(message, str):
                self._socket.send(message)
            else:
                self._socket.send_binary(message)
        except (websocket.WebSocketException, OSError, AttributeError):
            raise Closed(ABNORMAL.code) from None

    def close(self) -> None:
        """Close, without waiting for the answer."""
        self._socket.close(timeout=0)

    def cut(self) -> None:
        """End the connection without a close frame, as a gateway that dies does."""
        if self._socket.sock is not None:
            try:
                self._socket.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has ended by itself

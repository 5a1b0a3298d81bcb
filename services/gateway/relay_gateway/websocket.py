"""WebSocket messages of a server as bytes (RFC 6455): unmasked, in one WebSocket frame each. No I/O."""

from collections.abc import Iterable
from struct import Struct

TEXT, BINARY = 0x81, 0x82
"""FIN and opcodes 1 and 2 (RFC 6455 5.2)."""
_CLOSE = 0x88
PING = bytes((0x89, 0))
"""A ping without a payload."""
EMPTY_CLOSE = bytes((_CLOSE, 0))
"""A close frame without a code."""

_SHORT = Struct("!BB")
_MEDIUM = Struct("!BBH")
_LONG = Struct("!BBQ")
_CODE = Struct("!H")
_REASON_BYTES = 123
"""The space of a control frame beside the code (RFC 6455 5.5)."""


def message_head(size_bytes: int, kind: int = BINARY) -> bytes:
    """The header of a message with a payload of this size."""
    if size_bytes < 126:
        return _SHORT.pack(kind, size_bytes)
    if size_bytes < 65536:
        return _MEDIUM.pack(kind, 126, size_bytes)
    return _LONG.pack(kind, 127, size_bytes)


def joined(kind: int, payloads: Iterable[bytes]) -> bytes:
    """Text or binary messages, ready to be written."""
    return b"".join(piece for payload in payloads for piece in (message_head(len(payload), kind), payload))


def close_message(code: int, reason: str) -> bytes:
    """A close frame; a reason that is too long is cut between two characters."""
    cut = reason.encode()[:_REASON_BYTES].decode(errors="ignore").encode()
    return message_head(_CODE.size + len(cut), _CLOSE) + _CODE.pack(code) + cut

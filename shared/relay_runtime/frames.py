"""WebSocket frames, counted as they begin: fragments, empty ones and control frames too. Pure.

A parser tells of whole messages, and after it has parsed all that was read: whoever sends nothing but
fragments is never told of. Counting needs the heads of frames alone.
"""

_MASKED, _LENGTH = 0x80, 0x7F
_EXTENDED = {126: 2, 127: 8}
"""Bytes of a length that stands behind these (RFC 6455 5.2)."""


class FrameCounter:
    """One connection's bytes from a client, from the upgrade on."""

    __slots__ = ("_head", "_payload_left")

    def __init__(self) -> None:
        self._head = b""
        """The begin of a head whose rest is still to come."""
        self._payload_left = 0

    def count(self, data: bytes) -> int:
        """How many frames have a head that ends in these bytes."""
        if self._head:
            data, self._head = self._head + data, b""
        at, frames = self._payload_left, 0
        while at + 2 <= len(data):
            length, head = data[at + 1] & _LENGTH, 2 + (4 if data[at + 1] & _MASKED else 0)
            extended = _EXTENDED.get(length, 0)
            if at + head + extended > len(data):
                break
            if extended:
                length = int.from_bytes(data[at + 2 : at + 2 + extended])
            at += head + extended + length
            frames += 1
        self._head = data[at:]
        self._payload_left = max(at - len(data), 0)
        return frames

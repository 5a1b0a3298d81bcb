"""A client's WebSocket frames before they are parsed: counted as they begin, their masks checked. Pure.

A parser tells of whole messages, and after it has parsed all that was read: whoever sends nothing but
fragments is never told of. Counting needs the heads of frames alone. aiohttp's parser serves both sides, and
does not ask for the masks that every frame of a client has (RFC 6455 5.1).
"""

_MASKED, _LENGTH = 0x80, 0x7F
_EXTENDED = {126: 2, 127: 8}
"""Bytes of a length that stands behind these (RFC 6455 5.2)."""
REFUSED = bytes((0x83, 0x80, 0, 0, 0, 0))
"""A frame of an unknown opcode: a parser refuses it as a protocol error."""


class ClientFrames:
    """One connection's bytes from a client, from the upgrade on."""

    __slots__ = ("_head", "_is_refused", "_payload_left")

    def __init__(self) -> None:
        self._head = b""
        """The begin of a head whose rest is still to come."""
        self._payload_left = 0
        self._is_refused = False

    def take(self, data: bytes) -> tuple[int, bytes]:
        """How many frames have a head that ends in these bytes, and what is to be parsed of them now.

        The begin of a head waits for its rest. In place of a frame without a mask there is one that is
        refused, and nothing after it.
        """
        if self._is_refused:
            return 0, b""
        if self._head:
            data, self._head = self._head + data, b""
        at, frames = self._payload_left, 0
        while at + 2 <= len(data):
            if data[at + 1] < _MASKED:
                self._is_refused = True
                return frames + 1, data[:at] + REFUSED
            length, head = data[at + 1] & _LENGTH, 6
            extended = _EXTENDED.get(length, 0)
            if at + head + extended > len(data):
                break
            if extended:
                length = int.from_bytes(data[at + 2 : at + 2 + extended])
            at += head + extended + length
            frames += 1
        self._head = data[at:]
        self._payload_left = max(at - len(data), 0)
        return frames, data[:at]

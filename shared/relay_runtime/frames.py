"""A client's WebSocket frames before they are parsed: counts their headers, and checks their masks. Pure.

A parser reports whole messages, after it has parsed a whole read: fragments without an end are never
reported. Counting needs only the headers of frames. aiohttp's parser serves both sides, and does not require
the mask of every frame of a client (RFC 6455 5.1).
"""

_MASKED, _LENGTH = 0x80, 0x7F
_EXTENDED = {126: 2, 127: 8}
"""Bytes of the extended length behind these values (RFC 6455 5.2)."""
REFUSED = bytes((0x83, 0x80, 0, 0, 0, 0))
"""A frame of an unknown opcode: a parser refuses it as a protocol error."""


class ClientFrames:
    """One connection's bytes from a client, after the upgrade."""

    __slots__ = ("_head", "_is_refused", "_payload_left")

    def __init__(self) -> None:
        self._head = b""
        """The begin of an incomplete frame header."""
        self._payload_left = 0
        self._is_refused = False

    def feed(self, data: bytes) -> tuple[int, bytes]:
        """Count the frames whose header ends in these bytes; returns the number, and the bytes to parse now.

        An incomplete header waits for its rest. A frame without a mask is replaced by one that the parser
        refuses, and nothing follows it.
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

"""A server's WebSocket messages as bytes, against RFC 6455."""

import struct

import pytest

from relay_gateway.websocket import BINARY, EMPTY_CLOSE, TEXT, close_message, joined, message_head


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f" + struct.pack("!Q", 65536)),
    ],
)
def test_message_heads(size: int, head: bytes) -> None:
    """The three lengths of RFC 6455 5.2, unmasked, final, binary or text."""
    assert message_head(size) == head
    assert message_head(size, TEXT) == b"\x81" + head[1:]


def test_joined_messages() -> None:
    """Each payload behind its own head, in order; nothing for no payload."""
    assert joined(BINARY, [b"a", b"", b"bc"]) == b"\x82\x01a\x82\x00\x82\x02bc"
    assert joined(TEXT, []) == b""


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        ("normal", b"normal"),
        ("", b""),
        ("x" * 200, b"x" * 123),
        ("x" * 122 + "\u00e9", b"x" * 122),
        ("\u00e9" * 100, b"\xc3\xa9" * 61),
    ],
)
def test_close_messages(reason: str, sent: bytes) -> None:
    """The code, then a reason that fits a control frame and is whole UTF-8 (RFC 6455 5.5, 7.1.6)."""
    assert close_message(4410, reason) == bytes((0x88, 2 + len(sent))) + struct.pack("!H", 4410) + sent


def test_an_empty_close() -> None:
    """A final frame of opcode 8 without a payload (RFC 6455 5.5.1)."""
    assert EMPTY_CLOSE == b"\x88\x00"

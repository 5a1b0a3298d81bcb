"""The gateway's ring of recent frames, and the heads of WebSocket messages."""

import struct

import pytest

from relay_gateway.feed import Ring
from relay_gateway.socket import message_head
from relay_wire.position import Position

GENERATION = 5


def at(seq: int) -> Position:
    return Position(GENERATION, seq)


def a_ring(limit: int = 30) -> Ring:
    ring = Ring(limit, floor=at(0))
    for seq in range(1, 6):
        ring.append(at(seq), b"h", f"frame-{seq:03}.".encode())
    return ring


def test_what_follows_a_cursor() -> None:
    """Everything newer, joined, with the cursor it leads to."""
    assert a_ring().after(at(3), 1000) == (b"hframe-004.hframe-005.", 2, at(5))


def test_it_forgets_the_oldest() -> None:
    """30 bytes hold three frames of ten: from before the third there is no going on."""
    ring = a_ring()

    assert ring.after(at(1), 1000) is None
    assert ring.after(at(2), 1000) == (b"hframe-003.hframe-004.hframe-005.", 3, at(5))


def test_nothing_newer() -> None:
    """At the end there is nothing to give."""
    assert a_ring().after(at(5), 1000) is None


def test_batches_are_bounded() -> None:
    """As much as fits, and at least one."""
    assert a_ring().after(at(2), 20) == (b"hframe-003.hframe-004.", 2, at(4))
    assert a_ring().after(at(2), 1) == (b"hframe-003.", 1, at(3))


def test_a_restart_forgets_everything() -> None:
    """After a break nothing from before it is offered."""
    ring = a_ring()
    ring.restart(at(9))

    assert ring.after(at(4), 1000) is None
    ring.append(at(10), b"h", b"x")
    assert ring.after(at(9), 1000) == (b"hx", 1, at(10))


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
    """The three lengths of RFC 6455 5.2, unmasked, final, binary."""
    assert message_head(size) == head

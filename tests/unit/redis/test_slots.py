"""Slots: the slot of a key, and the slot map in a reply to CLUSTER SLOTS."""

import pytest
from redis.exceptions import InvalidResponse

from relay_redis.errors import Unencodable
from relay_redis.slots import SlotMap, SlotRange, ranges_of, slot_of
from relay_settings.redis_url import Address, RedisUrl

SENDER = Address("sender", 7000)


def slot_map() -> SlotMap:
    url = RedisUrl.parse("redis+cluster://127.0.0.1:1")
    return SlotMap(url, name="test", timeout_s=1, on_topology=lambda: None, is_up=lambda _: False)


def test_the_slot_of_a_key() -> None:
    """Text and bytes of a key have one slot, by its hash tag; a number counts as its digits."""
    assert slot_of("foo") == slot_of(b"foo") == slot_of("other:{foo}") == 12182
    assert slot_of(12) == slot_of("12")
    with pytest.raises(Unencodable):
        slot_of("\ud800")


def test_ranges() -> None:
    """The primary comes first; a node that leaves its host out has the host of the sender."""
    reply = [[0, 99, [b"a", 1, b"id"], [b"b", 2, b"id", []]], [100, 16383, [None, 3]]]

    assert ranges_of(reply, SENDER) == [
        SlotRange(0, 99, [Address("a", 1), Address("b", 2)]),
        SlotRange(100, 16383, [Address("sender", 3)]),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        None, 1, [1], [[0]], [[0, 1, 2]], [[0, 1, [b"a"]]], [[0, 1, [b"a", b"x"]]], [[0, 1, [1, 1]]],
        [[0, 16384, [b"a", 1]]], [[-1, 1, [b"a", 1]]], [[2, 1, [b"a", 1]]], [[0, 1]],
    ],
)  # fmt: skip
def test_what_is_no_slot_map(reply: object) -> None:
    """Another shape, slots out of range and slots without a node raise, and nothing else does."""
    with pytest.raises(InvalidResponse):
        ranges_of(reply, SENDER)


async def test_a_redirect_moves_one_slot() -> None:
    """The slot is at the named node at once, which counts as a primary; a slot out of range raises."""
    slots = slot_map()
    assert slots.node_of(7) is None

    slots.move(7, SENDER)

    assert slots.node_of(7) == SENDER
    assert slots.node_of(8) is None
    assert slots.primaries == {SENDER}
    for slot in (-1, 16384):
        with pytest.raises(InvalidResponse, match="no slot"):
            slots.move(slot, SENDER)

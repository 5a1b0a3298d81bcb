"""Consuming: only writes that can succeed, to keys of the entry's partition, become a call."""

from typing import Any

import pytest

from relay_streams.keys import KeySpace
from relay_streams.scripts.consume_outbox import Write, consume_outbox

SPACE = KeySpace(2)
SHARED = SPACE.shared(1)
HASH = f"{SHARED.tagged_prefix}:c:x:meta"
ZSET, SET = SHARED.leases, SHARED.made("key")


@pytest.mark.parametrize(
    "write",
    [
        Write("HSET", HASH, ("a", 1, "b", b"2")),
        Write("HSETNX", HASH, ("a", "1")),
        Write("HINCRBY", HASH, ("a", 2)),
        Write("ZADD", ZSET, (1, "a", 2, "b")),
        Write("SADD", SET, ("a", "b")),
        Write("PEXPIRE", HASH, (1000,)),
        Write("PEXPIRE", ZSET, (1000,)),
    ],
)
def test_a_write_that_is_allowed(write: Write) -> None:
    """It is passed with the number of its arguments, and its key is one of the call's."""
    call = consume_outbox(SHARED, entry="1-0", writes=[write])
    assert call.keys == (SHARED.outbox, write.key)
    assert list(call.arguments) == ["jobs", "1-0", write.command, len(write.args), *write.args]


@pytest.mark.parametrize(
    "write",
    [
        ("DEL", HASH, ()),
        ("HSET", SPACE.shared(0).leases, ("a", 1)),
        ("HSET", f"{SHARED.tagged_prefix}:unknown", ("a", 1)),
        ("HSET", ZSET, ("a", 1)),
        ("ZADD", HASH, (1, "a")),
        ("HSET", HASH, ()),
        ("HSET", HASH, ("a",)),
        ("HSETNX", HASH, ("a", 1, "b", 2)),
        ("HINCRBY", HASH, ("a", "1")),
        ("ZADD", ZSET, ("soon", "a")),
        ("ZADD", ZSET, (1,)),
        ("SADD", SET, ()),
        ("PEXPIRE", HASH, ("1",)),
        ("PEXPIRE", HASH, (1, "NX")),
    ],
)
def test_a_write_that_is_not_allowed(write: Any) -> None:
    """The call cannot be built."""
    with pytest.raises(ValueError, match=r"."):
        consume_outbox(SHARED, entry="1-0", writes=[Write(*write)])

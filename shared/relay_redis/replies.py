"""Replies: the shapes that the replies to commands have, and checks of them.

Replies carry no number: they are matched to commands by their order alone. A reply of a shape that its
command cannot have is the only sign that the order is broken, and that later callers would get each other's
data.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Command = tuple[str | bytes | int, ...]
Reply = Any
"""A RESP2 reply as hiredis decodes it: bytes, int, None, an error, or a list of these."""

Check = Callable[[Reply], bool]

RESP2: Final = frozenset({bytes, int, list, type(None)})
"""The types a reply may have. hiredis also knows those of RESP3, which no connection here uses."""


def anything(reply: Reply) -> bool:
    """Any type of RESP2."""
    return type(reply) in RESP2


def word(*bare: str, **values: tuple[type, ...]) -> Check:
    """A list of a word and of its values, as most scripts return.

    Args:
        bare: Words without a value.
        values: By word, the types of its first values; others may follow.
    """
    by_word = {
        name.encode(): tuple(enumerate(types, 1))
        for name, types in (dict.fromkeys(bare, ()) | values).items()
    }

    def check(reply: Reply) -> bool:
        try:
            for at, kind in by_word[reply[0]]:  # a missing value raises IndexError
                if type(reply[at]) is not kind:
                    return False
        except (KeyError, IndexError, TypeError):
            return False
        return True

    return check


def text(reply: Reply) -> bool:
    """A string, or nothing."""
    return reply is None or type(reply) is bytes


def number(reply: Reply) -> bool:
    """An integer."""
    return type(reply) is int


def three_numbers(reply: Reply) -> bool:
    """Three integers."""
    return type(reply) is list and len(reply) == 3 and all(map(number, reply))


def texts(reply: Reply) -> bool:
    """A list of strings."""
    return type(reply) is list and all(type(item) is bytes for item in reply)


def pairs(reply: Reply) -> bool:
    """A list of names and values, alternating."""
    return texts(reply) and len(reply) % 2 == 0


def two_lists(reply: Reply) -> bool:
    """Two lists of strings."""
    return type(reply) is list and len(reply) == 2 and all(map(texts, reply))


def entries(reply: Reply) -> bool:
    """Entries of a stream: each its id, and its fields."""
    return type(reply) is list and all(
        type(item) is list and len(item) == 2 and type(item[0]) is bytes and pairs(item[1]) for item in reply
    )


def streams(reply: Reply) -> bool:
    """Streams, each with its entries; or nothing."""
    return reply is None or (
        type(reply) is list
        and all(
            type(item) is list and len(item) == 2 and type(item[0]) is bytes and entries(item[1])
            for item in reply
        )
    )


def role(reply: Reply) -> bool:
    """A role, and facts about it."""
    return type(reply) is list and len(reply) > 0 and type(reply[0]) is bytes


BY_COMMAND: Final[Mapping[str | bytes | int, Check]] = {
    "GET": text,
    "HGETALL": pairs,
    "PTTL": number,
    "ROLE": role,
    "SCARD": number,
    "SET": text,
    "SMEMBERS": texts,
    "WAIT": number,
    "XRANGE": entries,
    "XREAD": streams,
    "ZRANGEBYSCORE": texts,
}
"""Checks by command; each script carries its own."""

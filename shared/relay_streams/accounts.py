"""Accounts: what usage has still to count of a conversation, because one event alone does not say it.

Viewer time is a running total of which the difference counts, and a Motion session whose owner was killed has
no reported end. Events are noted in the account when they are consumed; ``settle`` counts them, in one script
call that compares the account's revision, so that each difference counts once.

Fields of the hash:

===================  =================================================================
field                meaning
===================  =================================================================
app                  id of the API key
revision             grows by every change
view:<order>         ``<viewer ms so far> <wall time in ms>``, of an event by its order, or by its entry
viewer_ms            viewer time that is counted
opened:<session>     wall time in ms at which a Motion session opened
closed:<session>     ``1``: its end was reported, and is counted
estimate:<session>   ``<day> <ms> <credits>``, counted for want of a report
ended                wall time in ms at which the conversation ended
===================  =================================================================
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from relay_redis.client import RedisClient
from relay_streams.conversations import fields_of
from relay_streams.keys import ConversationKeys, PartitionKeys
from relay_streams.scripts.call import run
from relay_streams.scripts.settle_account import Settled, settle_account

__all__ = [
    "Account", "Estimate", "Settled", "View", "due", "note_closed", "note_estimate", "note_opened",
    "note_view", "read", "settle",
]  # fmt: skip

_NONE: Mapping[str, Any] = MappingProxyType({})


class View(NamedTuple):
    """The viewer time of a conversation up to a wall time."""

    viewer_ms: int
    at_ms: int


class Estimate(NamedTuple):
    """What is counted for a Motion session without a reported end."""

    day: str
    ms: int
    credits: int


class Account(NamedTuple):
    """The account of a conversation. Fields that are damaged are left out."""

    app: str = ""
    revision: int = 0
    views: Mapping[str, View] = _NONE
    """By field."""
    viewer_ms: int = 0
    """Viewer time that is counted."""
    opened: Mapping[str, int] = _NONE
    """Wall times in ms at which Motion sessions opened."""
    closed: frozenset[str] = frozenset()
    """Sessions whose end was reported."""
    estimates: Mapping[str, Estimate] = _NONE
    """By session."""
    ended_ms: int = 0
    """When the conversation ended; 0: it has not."""

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> "Account":
        """Read the hash."""
        views: dict[str, View] = {}
        opened: dict[str, int] = {}
        closed: set[str] = set()
        estimates: dict[str, Estimate] = {}
        for name, value in ((name.decode(errors="replace"), value) for name, value in fields.items()):
            kind, _, subject = name.partition(":")
            words = value.split()
            match kind, words:
                case "view", [total, at] if total.isdigit() and at.isdigit():
                    views[name] = View(int(total), int(at))
                case "opened", [at] if at.isdigit():
                    opened[subject] = int(at)
                case "closed", _:
                    closed.add(subject)
                case "estimate", [day, ms, credits_] if ms.isdigit() and credits_.isdigit():
                    estimates[subject] = Estimate(day.decode(errors="replace"), int(ms), int(credits_))
        return cls(
            fields.get(b"app", b"").decode(errors="replace"), _number(fields, b"revision"), views,
            _number(fields, b"viewer_ms"), opened, frozenset(closed), estimates, _number(fields, b"ended"),
        )  # fmt: skip


def note_view(event: int | str, viewer_ms: int, at_ms: int) -> dict[str, str | int]:
    """The field that notes the viewer time of an event, by its order or its entry."""
    return {f"view:{event}": f"{viewer_ms} {at_ms}"}


def note_opened(session: str, at_ms: int) -> dict[str, str | int]:
    """The field that notes the begin of a Motion session."""
    return {f"opened:{session}": at_ms}


def note_closed(session: str) -> dict[str, str | int]:
    """The field that notes the reported end of a Motion session."""
    return {f"closed:{session}": 1}


def note_estimate(session: str, estimate: Estimate) -> dict[str, str | int]:
    """The field that notes an estimate."""
    return {f"estimate:{session}": f"{estimate.day} {estimate.ms} {estimate.credits}"}


async def due(
    client: RedisClient, partition: PartitionKeys, *, by_ms: int, limit: int
) -> list[tuple[str, int]]:
    """The conversations whose accounts are due, each with the wall time since which it is, in ms.

    Raises:
        Unavailable: Redis cannot be read now.
    """
    reply = await client.execute(
        "ZRANGEBYSCORE", partition.accounts_due, "-inf", by_ms, "WITHSCORES", "LIMIT", 0, limit
    )
    return [
        (conversation.decode(errors="replace"), int(float(due_ms)))
        for conversation, due_ms in zip(reply[::2], reply[1::2], strict=True)
    ]


async def read(client: RedisClient, keys: ConversationKeys) -> Account:
    """Read an account; one that does not exist is empty.

    Raises:
        Unavailable: Redis cannot be read now.
    """
    return Account.from_fields(fields_of(await client.execute("HGETALL", keys.account)))


async def settle(client: RedisClient, keys: ConversationKeys, settled: Settled) -> bool:
    """Count, and change the account. False when it has changed since it was read: nothing is written then.

    Raises:
        Unavailable: Redis cannot run it now. It may have happened; repeating it is safe.
    """
    return await run(client, settle_account(keys, settled))


def _number(fields: Mapping[bytes, bytes], name: bytes) -> int:
    value = fields.get(name, b"")
    return int(value) if value.isdigit() and len(value) <= 16 else 0

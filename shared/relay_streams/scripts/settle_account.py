"""Settle an account: what it has noted is counted, once."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from relay_redis.replies import number
from relay_streams.key_kinds import KINDS
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load

SETTLE_ACCOUNT: Final = load("settle_account", number)


class Settled(NamedTuple):
    """What is counted from an account, and how the account changes by it."""

    app: str
    revision: int
    """Of the account as it was read."""
    counts: Mapping[str, Mapping[str, int]]
    """By day and counter."""
    fields: Mapping[str, str | int]
    """Fields of the account to set."""
    removed: Sequence[str]
    """Fields to remove."""
    due_ms: int | None
    """When it is due again; None: not before another event."""
    expire_ms: int | None
    """Time after which the account expires; None leaves that as it is."""
    keep_ms: int
    """How long the counts are kept."""


def settle_account(keys: ConversationKeys, settled: Settled) -> Call[bool]:
    """Count and change an account. The result is False when it has another revision: nothing was written."""
    names = [KINDS["accounts_due"].name(keys.tagged_prefix)]
    arguments: list[Argument] = [
        keys.id, settled.revision, _or_empty(settled.due_ms), _or_empty(settled.expire_ms),
        settled.app, settled.keep_ms,
    ]  # fmt: skip
    for day, counts in settled.counts.items():
        names += (
            KINDS["usage"].name(keys.tagged_prefix, f"{settled.app}:{day}"),
            KINDS["usage_apps"].name(keys.tagged_prefix, day),
        )
        arguments += (len(counts), *(part for count in counts.items() for part in count))
    arguments += (len(settled.fields), *(part for field in settled.fields.items() for part in field))
    return Call(SETTLE_ACCOUNT, (keys.account, *names), (*arguments, *settled.removed), bool)


def _or_empty(number_: int | None) -> Argument:
    return "" if number_ is None else number_

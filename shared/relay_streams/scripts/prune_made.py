"""Prune: the index of a creator's conversations loses those that have ended, or that Redis has lost."""

from collections.abc import Sequence
from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

PRUNE_MADE: Final = load("prune_made", number)


def prune_made(made: str, conversations: Sequence[ConversationKeys]) -> Call[int]:
    """Remove those of the conversations that are not there. The result is how many were removed."""
    return Call(
        PRUNE_MADE, (made, *(keys.meta for keys in conversations)), [keys.id for keys in conversations], int
    )

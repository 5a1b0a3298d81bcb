"""Claim a clip: one attempt to render it, at one worker."""

from typing import Final, NamedTuple

from relay_redis.replies import Reply, word
from relay_streams.keys import ClipKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

CLAIM_CLIP: Final = load("claim_clip", word("held", "over", claimed=(int, bytes)))


class ClipClaim(NamedTuple):
    """The right to render a clip, until it expires or is given back."""

    token: str
    attempt: int
    """Its number, from 1."""
    conversation: str
    """The conversation of the attempt before, which may not have ended; empty: there is none."""


def claim_clip(keys: ClipKeys, *, token: str, claim_ms: int) -> Call[ClipClaim | None]:
    """Claim a clip under a new token. The result is None when nothing is to be rendered, or not now."""

    def read(reply: Reply) -> ClipClaim | None:
        return ClipClaim(token, reply[1], reply[2].decode()) if reply[0] == b"claimed" else None

    return Call(CLAIM_CLIP, (keys.record, keys.due), (keys.id, token, claim_ms), read)

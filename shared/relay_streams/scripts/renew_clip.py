"""Renew the claim of a clip, with the progress of its rendering."""

from collections.abc import Sequence
from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ClipKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load

RENEW_CLIP: Final = load("renew_clip", number)


def renew_clip(keys: ClipKeys, *, token: str, claim_ms: int, fields: Sequence[Argument]) -> Call[bool]:
    """Extend a claim and set fields of the record, names and values alternating.

    The result is False when the claim is lost, or the clip was cancelled: nothing was written.
    """
    return Call(RENEW_CLIP, (keys.record, keys.due), (keys.id, token, claim_ms, *fields), bool)

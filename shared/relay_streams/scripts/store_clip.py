"""Store the chunks of a rendered clip, a few at a time."""

from collections.abc import Sequence
from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ClipKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load
from relay_wire.clips import ClipChunk
from relay_wire.uplink import encode_motion

STORE_CLIP: Final = load("store_clip", number)


def store_clip(keys: ClipKeys, *, token: str, first: int, chunks: Sequence[ClipChunk]) -> Call[bool]:
    """Store chunks; ``first`` is the number of the first of them, from 1, which removes what was stored.

    The result is False when the claim is lost, or the clip was cancelled: nothing was written.
    """
    arguments = [part for chunk in chunks for part in (chunk.pcm, encode_motion(chunk.motion))]
    return Call(STORE_CLIP, (keys.record, keys.chunks), (token, first, *arguments), bool)

"""Erase a clip: its record goes once its copy has gone."""

from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ClipKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

ERASE_CLIP: Final = load("erase_clip", number)


def erase_clip(keys: ClipKeys) -> Call[bool]:
    """Remove the record of a removed clip. The result is False when the clip was created again."""
    return Call(ERASE_CLIP, (keys.record, keys.due), (keys.id,), bool)

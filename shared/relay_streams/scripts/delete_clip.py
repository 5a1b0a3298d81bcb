"""Delete a clip: it is cancelled while it is to be rendered, else removed."""

from typing import Final, Literal

from relay_redis.replies import Reply, word
from relay_streams.keys import ClipKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

DELETE_CLIP: Final = load("delete_clip", word("cancelled", "removed", "missing"))

Deleted = Literal["cancelled", "removed", "missing"]
_DELETED: dict[bytes, Deleted] = {b"cancelled": "cancelled", b"removed": "removed", b"missing": "missing"}


def delete_clip(keys: ClipKeys, *, creator: str) -> Call[Deleted]:
    """Cancel or remove a clip of an API key."""
    return Call(
        DELETE_CLIP, (keys.record, keys.audio, keys.chunks, keys.of_key(creator), keys.due), (keys.id,), _read
    )


def _read(reply: Reply) -> Deleted:
    return _DELETED[reply[0]]

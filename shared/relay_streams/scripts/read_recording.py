"""Read: the frames that a recording does not have yet."""

from typing import Final, NamedTuple

from relay_redis.replies import Reply
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load
from relay_wire.position import Position


def _is_page(reply: Reply) -> bool:
    return (
        type(reply) is list
        and len(reply) > 0
        and type(reply[0]) is int
        and all(type(item) is bytes for item in reply[1:])
    )


READ_RECORDING: Final = load("read_recording", _is_page)


class Page(NamedTuple):
    """Frames of a stream, in order."""

    removed_bytes: int
    """Bytes of frames that were removed before they were copied, since the conversation began."""
    frames: list[bytes]


def read_recording(keys: ConversationKeys, *, after: Position, most_bytes: int) -> Call[Page]:
    """Read frames after a position, of ``most_bytes`` and one frame at most, at least one if there is one."""
    return Call(READ_RECORDING, (keys.meta, keys.down), (str(after), most_bytes), _read)


def _read(reply: Reply) -> Page:
    return Page(reply[0], reply[1:])

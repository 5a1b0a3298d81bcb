"""Read: the frames that a recording does not have yet."""

from typing import Final, NamedTuple

from relay_redis.replies import Reply
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load
from relay_wire.frame import FrameError, decode
from relay_wire.position import Position


def _is_page(reply: Reply) -> bool:
    return (
        type(reply) is list
        and len(reply) > 1
        and type(reply[0]) is int
        and all(type(item) is bytes for item in reply[1:])
    )


READ_RECORDING: Final = load("read_recording", _is_page)


class Page(NamedTuple):
    """Frames of a stream, in order."""

    removed_bytes: int
    """Bytes of frames that were removed before they were copied, since the conversation began."""
    last: Position
    """The last entry that was read; where the read began when there was none."""
    frames: list[bytes]
    """Entries that are no frames, since another program wrote them, are not in it."""


def read_recording(keys: ConversationKeys, *, after: Position, most_bytes: int) -> Call[Page]:
    """Read frames after a position, of ``most_bytes`` and one frame at most, at least one if there is one."""
    return Call(READ_RECORDING, (keys.meta, keys.down), (str(after), most_bytes), _read)


def _read(reply: Reply) -> Page:
    return Page(
        reply[0], Position.parse(reply[1].decode("ascii")), [data for data in reply[2:] if _is_frame(data)]
    )


def _is_frame(data: bytes) -> bool:
    try:
        decode(data)
    except FrameError:
        return False
    return True

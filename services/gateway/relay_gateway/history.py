"""History: frames the stream still has, for viewers that are behind, and where to go on when it has not."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from relay_streams.conversations import Conversation, read
from relay_streams.keys import ConversationKeys
from relay_streams.link import Link
from relay_wire import events, frame
from relay_wire.position import START, Position
from relay_wire.problems import BAD_POSITION, Problem


class Past(NamedTuple):
    """What follows a cursor: frames, or a place to start again because frames are gone."""

    frames: Sequence[bytes] = ()
    restart: Position | None = None


class History:
    """Reads down streams for single viewers.

    All methods raise ``Unavailable`` when Redis cannot be read now, and are safe to cancel.

    Args:
        link: Where to read.
        batch_entries: Most frames per read.
    """

    def __init__(self, link: Link, *, batch_entries: int = 16) -> None:
        self._link = link
        self._batch_entries = batch_entries

    async def after(self, keys: ConversationKeys, cursor: Position, *, upto: Position) -> Past:
        """The next frames after a cursor, without a hole; or, when the next one is gone, where to restart.

        The restart is the current turn's first frame, or what is left of that turn.

        Args:
            keys: The conversation.
            cursor: The last frame the viewer has.
            upto: The last frame wanted: the feed delivers what comes after it.
        """
        entries = await self._link.execute(
            "XRANGE", keys.down, f"({cursor}", str(upto), "COUNT", self._batch_entries
        )
        frames = [fields[1] for _, fields in entries]
        whole = _unbroken(cursor, frames)
        if whole:
            return Past(frames[:whole])
        return Past(restart=await self._restart(keys, cursor, upto, frames))

    async def start(self, keys: ConversationKeys, wanted: str, record: Conversation) -> Position:
        """The cursor for a viewer's ``from``: ``turn``, ``live`` or a position.

        Raises:
            Problem: It is none of these, or a position this conversation never had.
        """
        if wanted == "live":
            return record.tail
        if wanted == "turn":
            return record.turn_first.before if record.turn else START
        try:
            position = Position.parse(wanted)
        except ValueError as error:
            raise Problem(BAD_POSITION, f"from={wanted[:64]!r}: {error}, 'turn' or 'live'") from None
        if position > record.tail:
            raise Problem(BAD_POSITION, f"from={position} is after the last frame, {record.tail}")
        if position != START and not await self._was_here(keys, position, record):
            raise Problem(BAD_POSITION, f"from={position} is not a position of this conversation")
        return position

    async def _was_here(self, keys: ConversationKeys, position: Position, record: Conversation) -> bool:
        """Whether a position is in the stream, or older than what the stream still has."""
        if position == record.tail:
            return True
        if position.generation < record.first_generation:
            return False
        here, oldest = await asyncio.gather(
            self._link.execute("XRANGE", keys.down, str(position), str(position)),
            self._link.execute("XRANGE", keys.down, "-", "+", "COUNT", 1),
        )
        return bool(here) or not oldest or position < Position.parse(oldest[0][0].decode())

    async def _restart(
        self, keys: ConversationKeys, cursor: Position, upto: Position, frames: list[bytes]
    ) -> Position:
        left = frame.position_of(frames[0]).before if frames else upto
        turn = (await read(self._link, keys)).turn_first.before
        return max(left, turn) if cursor < turn else left


def _unbroken(cursor: Position, frames: Sequence[bytes]) -> int:
    """How many of the frames follow the cursor without a hole."""
    for count, data in enumerate(frames):
        position = frame.position_of(data)
        if not events.follows(cursor, position, events.of_frame(data) if position.seq == 1 else None):
            return count
        cursor = position
    return len(frames)

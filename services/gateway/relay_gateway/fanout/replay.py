"""Replay: reads the stream for viewers that are behind, and finds where a viewer starts."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from relay_gateway.fanout.batch import SharedFrame
from relay_gateway.fanout.entries import EntryDecoder
from relay_gateway.fanout.page import ReplayPage, restart, unbroken
from relay_gateway.fanout.subscriber import RESUMES
from relay_redis.client import RedisClient
from relay_redis.errors import Unavailable
from relay_streams import conversations
from relay_streams.conversations import Conversation
from relay_streams.errors import Missing
from relay_streams.keys import ConversationKeys
from relay_wire.position import START, Position
from relay_wire.problems import BAD_POSITION, CONVERSATION_ENDED, NOT_RESTORED, POSITION_AHEAD, Problem

_RETRY_S = 1
"""Owners restore lost frames as soon as they are connected to Redis: well within this."""
_CLOCK_LEEWAY_MS = 24 * 3600 * 1000
"""How far Redis' clock, of which generations are times, may be ahead of this process' clock."""
_START_KEYWORDS = ("turn", "last", "live")
"""Starts of a viewer without a position."""


class StartPoint(NamedTuple):
    """The record of a conversation, and where one viewer starts in it."""

    record: Conversation
    cursor: Position
    """The position before the first frame that it receives."""
    resumes: bool = False
    """Whether the viewer came with this position."""


class Replay:
    """Reads down streams for single viewers.

    All methods raise ``Unavailable`` when Redis cannot be read now, and are safe to cancel.

    Args:
        client: To Redis.
        batch_entries: The most entries per read.
    """

    def __init__(self, client: RedisClient, *, batch_entries: int = 16) -> None:
        self._client = client
        self._batch_entries = batch_entries

    async def after(self, keys: ConversationKeys, cursor: Position, *, upto: Position) -> ReplayPage:
        """The next frames after a cursor, without a hole; or, when the next one is gone, where to restart.

        The restart is the current turn's first frame, or the first that the stream still has of that turn.

        Args:
            keys: The conversation.
            cursor: The last frame the viewer has.
            upto: The last frame wanted: the feed delivers what comes after it.

        Raises:
            Missing: Redis has lost the record; the owner restores it.
            Unavailable: Also when Redis has lost the frames, and the owner may restore them.
        """
        entries = await self._client.execute(
            "XRANGE", keys.down, f"({cursor}", str(upto), "COUNT", self._batch_entries
        )
        # Redis answers with lists, and the compiled decoder takes nothing but tuples.
        frames = EntryDecoder().decode([(entry_id, fields) for entry_id, fields in entries])
        following = unbroken(cursor, frames)
        if following:
            return ReplayPage(following)
        return ReplayPage(restart=await self._restart(keys, cursor, upto, frames))

    async def start_point(self, keys: ConversationKeys, start: str) -> StartPoint:
        """The record, and the cursor for a viewer's ``from``.

        - ``turn``: before the turn that is published or still plays; without one, after the last frame.
        - ``last``: before the last turn, even if it has ended.
        - ``live``: after the last frame.
        - a position: after that frame.

        Before the first turn ``turn`` and ``last`` are the conversation's first frame.

        Raises:
            Missing: There is no such conversation.
            Problem: The start is none of these, or a position that this conversation never had, or one that
                Redis has lost and the owner may restore; or the conversation has ended, which has revoked
                its tokens. A viewer with the position of a frame that Redis still has may resume even then.
        """
        if start not in _START_KEYWORDS:
            return await self._resume(keys, start)
        record = await conversations.read(self._client, keys)
        if record.state == "ended":
            raise _ended()
        if start == "live":
            return StartPoint(record, record.last_position)
        if not record.turn:
            return StartPoint(record, START)
        if start == "turn" and not record.is_turn_current(_now_ms()):
            return StartPoint(record, record.last_position)
        return StartPoint(record, record.turn_first.before)

    async def _resume(self, keys: ConversationKeys, start: str) -> StartPoint:
        try:
            position = Position.parse(start)
        except ValueError as error:
            known = ", ".join(_START_KEYWORDS)
            raise Problem(BAD_POSITION, f"from={start[:64]!r}: {error}, or one of {known}") from None
        try:
            return StartPoint(await self._resumed(keys, position), position, resumes=True)
        except Problem:
            RESUMES["refused"].value += 1
            raise

    async def _resumed(self, keys: ConversationKeys, position: Position) -> Conversation:
        """The record of a conversation that has, or had, a frame at this position."""
        try:
            record = await conversations.read(self._client, keys)
        except Missing:
            detail = "Redis has no record of the conversation; if it was lost, its owner restores it now"
            raise Problem(NOT_RESTORED, detail, retry_after_s=_RETRY_S) from None
        if record.state == "ended":
            if not await self._client.execute("XRANGE", keys.down, str(position), str(position)):
                raise _ended()
            return record
        if position in (START, record.last_position):
            return record
        if not record.first_generation <= position.generation <= _now_ms() + _CLOCK_LEEWAY_MS:
            raise Problem(BAD_POSITION, f"from={position} is not a position of this conversation")
        if position > record.last_position:
            # A fail-over may have lost the claim of the generation, too: any possible generation may return.
            detail = (
                f"the last frame is {record.last_position};"
                f" if Redis has lost {position}, its owner restores it now"
            )
            raise Problem(POSITION_AHEAD, detail, retry_after_s=_RETRY_S)
        if not await self._has_generation(keys, position.generation):
            raise Problem(BAD_POSITION, f"from={position} is not a position of this conversation")
        return record

    async def _has_generation(self, keys: ConversationKeys, generation: int) -> bool:
        """Whether a generation is in the stream, or older than the stream's oldest entry.

        The frame itself may be lost for good, when a fail-over lost it together with its owner: its viewer
        receives a ``gap`` event.
        """
        found, oldest = await asyncio.gather(
            self._client.execute("XRANGE", keys.down, generation, generation, "COUNT", 1),
            self._client.execute("XRANGE", keys.down, "-", "+", "COUNT", 1),
        )
        return bool(found) or not oldest or generation < Position.parse(oldest[0][0].decode()).generation

    async def _restart(
        self, keys: ConversationKeys, cursor: Position, upto: Position, frames: Sequence[SharedFrame]
    ) -> Position:
        record = await conversations.read(self._client, keys)
        if not frames and record.last_position < upto:
            # Retention leaves the last frame, so this is a loss, and the owner restores the frames.
            raise Unavailable(f"the stream ends at {record.last_position}, and was at {upto} before")
        return restart(cursor, frames, turn_first=record.turn_first, upto=upto)


def _ended() -> Problem:
    return Problem(CONVERSATION_ENDED, "the conversation is over, and its tokens with it")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

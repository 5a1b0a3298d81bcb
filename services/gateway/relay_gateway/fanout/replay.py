"""History: frames the stream still has, for viewers that are behind, and where to go on when it has not."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from relay_gateway.fanout.batch import SharedFrame
from relay_gateway.fanout.entries import EntryDecoder
from relay_gateway.fanout.page import ReplayPage, restart, unbroken
from relay_redis.client import RedisClient
from relay_redis.errors import Unavailable
from relay_streams import conversations
from relay_streams.conversations import Conversation
from relay_streams.errors import Missing
from relay_streams.keys import ConversationKeys
from relay_wire.position import START, Position
from relay_wire.problems import BAD_POSITION, CONVERSATION_ENDED, NOT_RESTORED, POSITION_AHEAD, Problem

_RETRY_S = 1
"""Owners write lost frames again as soon as they are connected: well within this."""
_CLOCK_LEEWAY_MS = 24 * 3600 * 1000
"""Generations are times of the store's clock; nobody's was ever further ahead of ours than this."""
_BEGINNINGS = ("turn", "last", "live")
"""Where a viewer can begin that has not been here."""


class StartPoint(NamedTuple):
    """Where one viewer begins."""

    record: Conversation
    cursor: Position
    """The frame before the first it wants."""


class Replay:
    """Reads down streams for single viewers.

    All methods raise ``Unavailable`` when Redis cannot be read now, and are safe to cancel.

    Args:
        client: Where to read.
        batch_entries: Most frames per read.
    """

    def __init__(self, client: RedisClient, *, batch_entries: int = 16) -> None:
        self._client = client
        self._batch_entries = batch_entries

    async def after(self, keys: ConversationKeys, cursor: Position, *, upto: Position) -> ReplayPage:
        """The next frames after a cursor, without a hole; or, when the next one is gone, where to restart.

        The restart is the current turn's first frame, or what is left of that turn.

        Args:
            keys: The conversation.
            cursor: The last frame the viewer has.
            upto: The last frame wanted: the feed delivers what comes after it.

        Raises:
            Missing: The store has lost the record; its owner restores it.
            Unavailable: Also when the store has lost the frames, and they may be restored.
        """
        entries = await self._client.execute(
            "XRANGE", keys.down, f"({cursor}", str(upto), "COUNT", self._batch_entries
        )
        frames = EntryDecoder().decode(entries)
        following = unbroken(cursor, frames)
        if following:
            return ReplayPage(following)
        return ReplayPage(restart=await self._restart(keys, cursor, upto, frames))

    async def begin(self, keys: ConversationKeys, wanted: str) -> StartPoint:
        """The record, and the cursor for a viewer's ``from``.

        - ``turn``: before the turn that is being spoken or still plays; when none is, after the last frame.
        - ``last``: before the last turn, even if it is over.
        - ``live``: after the last frame.
        - a position: after that frame.

        Before the first turn ``turn`` and ``last`` are the conversation's beginning.

        Raises:
            Missing: There is no such conversation.
            Problem: It is none of these, or a position this conversation never had; or one that the
                store has lost and that will be there again; or the conversation is over, which has revoked
                its tokens, unless the store still has the frame at the position: who has it was here.
        """
        if wanted not in _BEGINNINGS:
            return await self._resume(keys, wanted)
        record = await conversations.read(self._client, keys)
        if record.state == "ended":
            raise _over()
        if wanted == "live":
            return StartPoint(record, record.last_position)
        if not record.turn:
            return StartPoint(record, START)
        if wanted == "turn" and not record.is_turn_current(_now_ms()):
            return StartPoint(record, record.last_position)
        return StartPoint(record, record.turn_first.before)

    async def _resume(self, keys: ConversationKeys, wanted: str) -> StartPoint:
        try:
            position = Position.parse(wanted)
        except ValueError as error:
            known = ", ".join(_BEGINNINGS)
            raise Problem(BAD_POSITION, f"from={wanted[:64]!r}: {error}, or one of {known}") from None
        return StartPoint(await self._resumed(keys, position), position)

    async def _resumed(self, keys: ConversationKeys, position: Position) -> Conversation:
        """The record of a conversation in which the viewer has been at this position."""
        try:
            record = await conversations.read(self._client, keys)
        except Missing:
            detail = "Redis does not know the conversation; if it has lost it, its owner restores it now"
            raise Problem(NOT_RESTORED, detail, retry_after_s=_RETRY_S) from None
        if record.state == "ended":
            if not await self._client.execute("XRANGE", keys.down, str(position), str(position)):
                raise _over()
            return record
        if position in (START, record.last_position):
            return record
        if not record.first_generation <= position.generation <= _now_ms() + _CLOCK_LEEWAY_MS:
            raise Problem(BAD_POSITION, f"from={position} is not a position of this conversation")
        if position > record.last_position:
            # A fail-over may have lost the term's claim, too; so every term that can have been is waited for.
            detail = (
                f"the last frame is {record.last_position};"
                f" if Redis has lost {position}, its owner restores it now"
            )
            raise Problem(POSITION_AHEAD, detail, retry_after_s=_RETRY_S)
        if not await self._had(keys, position.generation):
            raise Problem(BAD_POSITION, f"from={position} is not a position of this conversation")
        return record

    async def _had(self, keys: ConversationKeys, generation: int) -> bool:
        """Whether a term is in the stream, or older than what the stream still has.

        The frame itself may be lost for good, when a fail-over lost it together with its owner: its
        viewer is told of the gap.
        """
        term, oldest = await asyncio.gather(
            self._client.execute("XRANGE", keys.down, generation, generation, "COUNT", 1),
            self._client.execute("XRANGE", keys.down, "-", "+", "COUNT", 1),
        )
        return bool(term) or not oldest or generation < Position.parse(oldest[0][0].decode()).generation

    async def _restart(
        self, keys: ConversationKeys, cursor: Position, upto: Position, frames: Sequence[SharedFrame]
    ) -> Position:
        record = await conversations.read(self._client, keys)
        if not frames and record.last_position < upto:
            # Trimming leaves the last frame, so this is a loss, and the owner makes it good.
            raise Unavailable(f"the stream ends at {record.last_position}, and was at {upto} before")
        return restart(cursor, frames, turn_first=record.turn_first, upto=upto)


def _over() -> Problem:
    return Problem(CONVERSATION_ENDED, "the conversation is over, and its tokens with it")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

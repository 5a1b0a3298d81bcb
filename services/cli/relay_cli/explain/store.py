"""The store: what Redis holds of a conversation and of one of its turns."""

import time
from collections.abc import AsyncIterator

from relay_cli.explain.frames import StoredFrame
from relay_cli.explain.timeline import Timeline, timeline
from relay_cli.explain.turn import Turn, of_turn
from relay_cli.explain.waiting import UplinkEntry, speech_stored_at, traceparent, waiting
from relay_redis.client import RedisClient
from relay_streams import conversations
from relay_streams.conversations import Conversation, fields_of
from relay_streams.errors import Missing, Unreadable
from relay_streams.keys import ConversationKeys
from relay_wire import uplink
from relay_wire.frame import FrameError

_PAGE = 256
"""Entries read at a time."""


class ExplainError(Exception):
    """Raised when a turn cannot be explained; the text has the reason."""


async def explain(client: RedisClient, keys: ConversationKeys, number: int | None) -> Timeline:
    """Read a turn and compute its timeline.

    Args:
        client: Reads.
        keys: The conversation.
        number: The turn; None: the last one.

    Raises:
        ExplainError: There is no such conversation or turn, or it is not in the stream any more.
        StoreError: Redis cannot be read.
    """
    record = await _record(client, keys)
    entries = [entry async for entry in _uplink(client, keys)]
    left = waiting(entries, record.uplink_cursor, time.time())
    turn = number or record.turn
    if not 0 < turn <= record.turn:
        raise ExplainError(_not_begun(record, turn, left))
    frames = of_turn(turn, await _frames(client, keys, record, turn))
    if not frames:
        raise ExplainError(await _trimmed(client, keys, record, turn))
    return timeline(
        Turn(turn, frames, record.sample_rate, speech_stored_at(entries, turn)),
        conversation=keys.id,
        owner=record.owner,
        traceparent=traceparent(entries, turn) or _input_traceparent(record, turn),
        waiting=left,
    )


def _input_traceparent(record: Conversation, turn: int) -> str:
    """The trace context of a turn's input in the record, which has that of the turn opened last."""
    return record.input_trace.traceparent if turn == record.input_turn else ""


async def _record(client: RedisClient, keys: ConversationKeys) -> Conversation:
    try:
        return await conversations.read(client, keys)
    except Missing:
        raise ExplainError(
            f"Redis has no record of conversation {keys.id}: it ended and has expired, or RELAY_REDIS_URL,"
            " RELAY_KEY_PREFIX or RELAY_PARTITIONS differ from the relay's"
        ) from None
    except Unreadable as error:
        raise ExplainError(str(error)) from None


def _not_begun(record: Conversation, turn: int, left: str) -> str:
    uplink_has = f"the uplink has {left}" if left else "nothing waits in the uplink"
    owner = f"its owner is {record.owner}" if record.owner else "it has no owner yet"
    begun = f"turn {turn} has not begun; the last is {record.turn}" if turn else "no turn has begun"
    return f"{begun}: {uplink_has}; {owner}"


async def _trimmed(client: RedisClient, keys: ConversationKeys, record: Conversation, turn: int) -> str:
    async for frame in _down(client, keys, "-"):
        kept = f"the stream begins at {frame.position}, in turn {frame.turn or record.turn}"
        break
    else:
        kept = "the stream is empty: it has expired, or Redis has lost it"
    return (
        f"turn {turn} is trimmed: {kept}. A stream keeps the last two turns and up to RELAY_RETENTION_BYTES;"
        " the log lines of the turn and its trace remain"
    )


async def _frames(
    client: RedisClient, keys: ConversationKeys, record: Conversation, turn: int
) -> list[StoredFrame]:
    """The frames from the start of a turn, as far as the record knows it, to the start of the next."""
    starts = {record.turn: record.turn_first, record.turn - 1: record.turn_before}
    start = str(starts[turn]) if turn in starts else "-"
    found = []
    async for frame in _down(client, keys, start):
        if frame.turn > turn:
            break
        found.append(frame)
    return found


async def _down(client: RedisClient, keys: ConversationKeys, start: str) -> AsyncIterator[StoredFrame]:
    async for _, fields in _entries(client, keys.down, start):
        try:
            yield StoredFrame.read(fields)
        except FrameError:
            continue  # Not the relay's; gateways skip it, too.


async def _uplink(client: RedisClient, keys: ConversationKeys) -> AsyncIterator[UplinkEntry]:
    async for entry_id, fields in _entries(client, keys.up, "-"):
        try:
            yield UplinkEntry(entry_id, uplink.decode(fields))
        except uplink.UplinkError:
            continue  # Not the relay's; owners skip it, too.


async def _entries(
    client: RedisClient, key: str, start: str
) -> AsyncIterator[tuple[str, dict[bytes, bytes]]]:
    while True:
        page = await client.execute("XRANGE", key, start, "+", "COUNT", _PAGE)
        for entry_id, fields in page:
            yield entry_id.decode(), fields_of(fields)
        if len(page) < _PAGE:
            return
        start = f"({page[-1][0].decode()}"

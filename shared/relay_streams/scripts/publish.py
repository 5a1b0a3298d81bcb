"""Publish: an owner's frames, and everything that must agree with them, in one write."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from relay_redis.replies import Reply, word
from relay_streams.errors import Fenced, Missing, TailLost
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load
from relay_turns.phase import Phase
from relay_wire.position import Position

PUBLISH: Final = load(
    "publish", word("missing", ok=(int,), fenced=(bytes,), behind=(int,)), after=("outbox",)
)


class FrameEvent(NamedTuple):
    """What an entry of the outbox has of a frame: it is appended once, when the stream gets the frame."""

    seq: int
    """The frame's."""
    type: str
    data: bytes
    """A JSON object."""


def publish(
    keys: ConversationKeys,
    *,
    generation: int,
    first_seq: int,
    turn: int,
    turn_first: Position,
    turn_before: Position,
    trim_to: Position | None,
    uplink_cursor: str,
    checkpoint: bytes,
    turn_phase: Phase,
    turn_ends_at_ms: int,
    waiting_bytes: int | None = None,
    frames: Sequence[Argument],
    events: Sequence[FrameEvent] = (),
    outbox_entries: int = 0,
) -> Call[int]:
    """Append frames. The result is the seq of the last one; frames that the stream has already are skipped.

    The call raises ``Fenced``, ``TailLost`` or ``Missing``: nothing was written.

    Args:
        keys: The conversation.
        generation: The owner's.
        first_seq: Of the first frame.
        turn: The current turn after the frames.
        turn_first: The position of its first frame.
        turn_before: The position of the first frame of the turn before.
        trim_to: The oldest frame to keep, if that has changed.
        uplink_cursor: The last uplink entry that the owner has processed, if that has changed; else empty.
        checkpoint: The turn machine's state after the frames, for the next owner.
        turn_phase: The phase of the current turn, for readers.
        turn_ends_at_ms: The wall time at which the turn has played, if its phase is ``playing``; else 0.
        waiting_bytes: For a recorded conversation, the most bytes of frames that wait to be copied: they stay
            even if ``trim_to`` is after them. None: it is not recorded.
        frames: Frame and trace, alternating: ``Context.encode`` of one that is sampled, or empty.
        events: What to append to the outbox, by frame at most one.
        outbox_entries: Most entries of the outbox, if there are events.
    """
    outbox_keys: tuple[str, ...] = ()
    outbox_arguments: list[Argument] = []
    if events:
        outbox_keys = (keys.outbox, keys.outbox_discarded)
        outbox_arguments += (len(events), keys.id, outbox_entries)
        for event in events:
            outbox_arguments += event
    return Call(
        PUBLISH,
        (keys.meta, keys.down, keys.up, *outbox_keys),
        (
            generation,
            first_seq,
            turn,
            str(turn_first),
            str(turn_before),
            str(trim_to) if trim_to is not None else "",
            uplink_cursor,
            checkpoint,
            turn_phase,
            turn_ends_at_ms,
            waiting_bytes if waiting_bytes is not None else "",
            *outbox_arguments,
            *frames,
        ),
        read,
    )


def read(reply: Reply) -> int:
    """The last seq in a reply. Raises ``Fenced``, ``TailLost`` or ``Missing``."""
    match reply[0]:
        case b"ok":
            return int(reply[1])
        case b"fenced":
            raise Fenced(int(reply[1]))
        case b"behind":
            raise TailLost(int(reply[1]))
        case _:
            raise Missing("the conversation's record is gone")

"""Advance: frames are copied."""

from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load
from relay_wire.position import Position

ADVANCE_RECORDING: Final = load("advance_recording", number)


def advance_recording(
    keys: ConversationKeys,
    *,
    token: str,
    claim_ms: int,
    cursor: Position,
    copied_bytes: int,
    removed_bytes: int,
) -> Call[bool]:
    """Move a recording's cursor, and renew the claim. False when the claim is another's: nothing was written.

    Args:
        keys: The conversation.
        token: The claim.
        claim_ms: How long it holds from now on.
        cursor: The last frame that is copied.
        copied_bytes: Bytes of the copied frames that the stream had when ``removed_bytes`` was read.
        removed_bytes: Bytes of frames that had been removed before they were copied.
    """
    return Call(
        ADVANCE_RECORDING,
        (keys.meta, keys.down, keys.recordings),
        (keys.id, token, claim_ms, str(cursor), copied_bytes, removed_bytes),
        bool,
    )

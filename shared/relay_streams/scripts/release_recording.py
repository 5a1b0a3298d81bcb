"""Release: a recording returns to those that are due, or is finished."""

from typing import Final

from relay_redis.replies import number
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

RELEASE_RECORDING: Final = load("release_recording", number)


def release_recording(
    keys: ConversationKeys, *, token: str, next_ms: int | None, keep_frames_ms: int
) -> Call[bool]:
    """Return a claim. False when the claim is another's: nothing was written.

    Args:
        keys: The conversation.
        token: The claim.
        next_ms: When a worker looks at the recording next; None when it is finished.
        keep_frames_ms: How long the frames of a conversation that has ended stay then.
    """
    next_look = "" if next_ms is None else next_ms
    return Call(
        RELEASE_RECORDING,
        (keys.meta, keys.down, keys.recordings),
        (keys.id, token, next_look, keep_frames_ms),
        bool,
    )

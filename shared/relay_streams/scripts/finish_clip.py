"""Finish an attempt to render a clip."""

from collections.abc import Sequence
from typing import Final, Literal

from relay_redis.replies import number
from relay_streams.keys import ClipKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load

FINISH_CLIP: Final = load("finish_clip", number, after=("outbox",))


def finish_clip(
    keys: ClipKeys,
    *,
    creator: str,
    token: str,
    state: Literal["ready", "failed", "queued"],
    delay_ms: int = 0,
    size_bytes: int = 0,
    outbox_entries: int = 0,
    data: bytes = b"",
    fields: Sequence[Argument],
) -> Call[bool]:
    """End an attempt, with the event of it.

    The result is False when the claim is lost, or the clip was cancelled: nothing was written.

    Args:
        keys: The clip.
        creator: The API key.
        token: Of the claim.
        state: The clip's from now on; ``queued``: to be tried again.
        delay_ms: Until the next attempt.
        size_bytes: What the clip counts for its API key.
        outbox_entries: Most entries of the outbox; 0: nothing is appended to it.
        data: The event's, as JSON.
        fields: Of the record, names and values alternating; at least one.
    """
    return Call(
        FINISH_CLIP,
        (
            keys.record, keys.audio, keys.chunks, keys.of_key(creator), keys.due,
            keys.outbox, keys.outbox_discarded,
        ),
        (
            keys.id, token, state, delay_ms, size_bytes, outbox_entries, data, *fields,
        ),
        bool,
    )  # fmt: skip

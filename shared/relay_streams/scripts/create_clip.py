"""Create a clip: its audio is stored and waits to be rendered."""

from collections.abc import Sequence
from typing import Final

from relay_redis.replies import Reply, word
from relay_streams.keys import ClipKeys
from relay_streams.scripts.call import Argument, Call
from relay_streams.scripts.lua import load

CREATE_CLIP: Final = load("create_clip", word("new", known=(bytes,)), after=("outbox",))


def create_clip(
    keys: ClipKeys,
    *,
    creator: str,
    digest: str,
    pcm: bytes,
    outbox_entries: int,
    fields: Sequence[Argument],
) -> Call[str | None]:
    """Create a clip with these fields of its record, names and values alternating.

    The result is None; or, when the id exists and nothing was written, the digest of that clip's request.

    Args:
        keys: The clip.
        creator: The API key.
        digest: Of the request.
        pcm: The audio.
        outbox_entries: Most entries of the outbox; 0: nothing is appended to it.
        fields: The others of the record.
    """
    return Call(
        CREATE_CLIP,
        (keys.record, keys.audio, keys.of_key(creator), keys.due, keys.outbox, keys.outbox_discarded),
        (keys.id, digest, pcm, outbox_entries, *fields),
        _read,
    )


def _read(reply: Reply) -> str | None:
    return None if reply[0] == b"new" else str(reply[1], "ascii", "replace")

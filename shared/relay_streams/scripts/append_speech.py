"""Append speech: a piece of a turn's audio."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from relay_redis.replies import Reply, word
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load
from relay_streams.scripts.uplink_rejection import rejection

APPEND_SPEECH: Final = load(
    "append_speech",
    word(
        "full", "ended", "missing",
        **{"in": (int, int, bytes, bytes)},
        behind=(int, int), over=(int, int, bytes), busy=(int,), fenced=(bytes,),
    ),
    after=("uplink_bounds", "turn_input"),
)  # fmt: skip


class SpeakerFence(NamedTuple):
    """Fence of an agent's speech: its generation, and the last uplink entry that its owner has acted on."""

    generation: int
    last_entry: str


class Appended(NamedTuple):
    """A piece that is appended, or its beginning."""

    turn: int
    offset: int
    """Bytes of the turn that are appended; another attempt may have appended more than this piece."""


def append_speech(
    keys: ConversationKeys,
    chunks: Sequence[bytes],
    motion: Sequence[bytes] = (),
    *,
    turn: int,
    key: str,
    offset: int,
    end: bool,
    barge_in: bool,
    trace: str,
    source: str = "",
    silence_ms: int,
    limits: tuple[int, int],
    viewer_limits: tuple[int, int] | None,
    fence: SpeakerFence | None,
) -> Call[Appended]:
    """Append a piece of a turn's speech, cut into the chunks that become entries; at least one.

    ``motion`` is field ``m`` of each entry, of a clip, whose chunks have their motion; else empty.
    ``trace`` is the context that the piece came with, as ``Context.encode``; ``source`` the kind of speaker.
    ``limits`` are the most entries and bytes that may wait, ``viewer_limits`` those of viewers, for their
    speech. The call raises ``UplinkRejected`` and ``Fenced``.
    """
    generation, last_entry = fence or ("", "")
    return Call(
        APPEND_SPEECH,
        (keys.meta, keys.up),
        (
            turn, key, silence_ms, generation, offset, "1" if end else "", "1" if barge_in else "",
            trace, *limits, *(viewer_limits or ("", "")), last_entry,
            source, len(chunks), *chunks, *motion,
        ),
        _read,
    )  # fmt: skip


def _read(reply: Reply) -> Appended:
    if reply[0] != b"in":
        raise rejection(reply)
    return Appended(reply[1], reply[2])

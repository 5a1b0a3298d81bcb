"""Clips: speech with its motion, rendered before a turn speaks it, in the chunks of that turn. Pure."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


class ClipChunk(NamedTuple):
    """Audio of a clip, and the motion payloads to publish after it."""

    pcm: bytes
    motion: tuple[bytes, ...]

    @property
    def size_bytes(self) -> int:
        """Size of its audio and motion."""
        return len(self.pcm) + sum(map(len, self.motion))


def cut(pcm: bytes, motion: Sequence[bytes], *, chunk_bytes: int, lead_bytes: int) -> list[ClipChunk]:
    """Cut a clip into chunks, each with the motion that is due with its audio.

    A payload's place is its share of the motion's bytes, since a payload does not name its time. Motion is
    therefore spread as evenly as the audio: a chunk has its share, one payload more, and the first ones the
    motion of the lead.

    Args:
        pcm: The audio; at least one sample.
        motion: The motion payloads in order; at least one.
        chunk_bytes: Audio of a chunk; the last may be shorter.
        lead_bytes: By how much audio each payload precedes its place.
    """
    starts = range(0, len(pcm), chunk_bytes)
    total, last = sum(map(len, motion)), len(starts) - 1
    chunks: list[list[bytes]] = [[] for _ in starts]
    before = (0, *accumulate(map(len, motion[:-1])))
    for at, payload in zip(before[:-1], motion[:-1], strict=True):
        place = max(at * len(pcm) // total - lead_bytes, 0)
        chunks[min(place // chunk_bytes, last)].append(payload)
    # The end of the motion is that of the turn: with the last audio.
    chunks[last].append(motion[-1])
    return [
        ClipChunk(pcm[start : start + chunk_bytes], tuple(payloads))
        for start, payloads in zip(starts, chunks, strict=True)
    ]

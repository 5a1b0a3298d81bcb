"""The pre-buffer: speech that comes no faster than it is played."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

PREBUFFER_MS = 4000
"""What a client must be ahead so that its motion does not run out (facts 3)."""


async def prebuffered(chunks: AsyncGenerator[bytes], size_bytes: int) -> AsyncGenerator[bytes]:
    """The same audio, held back until there is so much of it, or all."""
    waiting = bytearray()
    is_full = False
    async with aclosing(chunks):
        async for pcm in chunks:
            if is_full:
                yield pcm
                continue
            waiting += pcm
            if len(waiting) >= size_bytes:
                is_full = True
                yield bytes(waiting)
                waiting.clear()
    if waiting:
        yield bytes(waiting)

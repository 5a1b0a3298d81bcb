"""The write coalescer: one flush for each socket and loop tick."""

import asyncio

from relay_gateway.flush import WriteCoalescer


class Written:
    """A socket that is added again during its first ``again`` flushes."""

    def __init__(self, coalescer: WriteCoalescer, again: int = 0) -> None:
        self.flushes = 0
        self._coalescer = coalescer
        self._again = again

    def flush(self) -> None:
        self.flushes += 1
        if self.flushes <= self._again:
            self._coalescer.add(self)


async def test_sockets_are_flushed_at_the_end_of_the_tick() -> None:
    """Each once; a socket that is added during a flush waits for the next tick."""
    coalescer = WriteCoalescer()
    sockets = [Written(coalescer), Written(coalescer, again=1), Written(coalescer)]
    for socket in sockets:
        coalescer.add(socket)
    assert [socket.flushes for socket in sockets] == [0, 0, 0]
    await asyncio.sleep(0)
    assert [socket.flushes for socket in sockets] == [1, 1, 1]
    await asyncio.sleep(0)
    assert [socket.flushes for socket in sockets] == [1, 2, 1]
    await asyncio.sleep(0)
    assert [socket.flushes for socket in sockets] == [1, 2, 1]

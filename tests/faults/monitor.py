"""The monitor: records each frame as it is written, also one that is deleted before the tap has read it.

It follows ``MONITOR`` at each server that takes writes. That costs the server time, so it is for faults that
delete. What it records goes onto the same tapes as what the tap reads: the same id with other bytes is a
conflict, whichever of the two recorded it first.
"""

import asyncio
import codecs
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.faults.tap import Tape
from tests.faults.verifier import position

from relay_runtime.tasks import TaskScope

_LINE_BYTES = 4 * 1024 * 1024
_WRITES = re.compile(
    rb'"XADD" "relay:\{p[0-9]+\}:c:(?P<conversation>[^:"]+):down"'
    rb' "(?P<id>[0-9]+-[0-9]+)" "f" "(?P<frame>(?:[^"\\]|\\.)*)"'
)


class Monitor:
    """Follows servers. Enter it to begin; leaving ends it.

    Args:
        ports: Of the servers that take writes.
        tapes: By conversation, where frames go.
        keep: Whether tapes keep the bytes.
    """

    def __init__(self, ports: Sequence[int], tapes: Mapping[str, Tape], *, keep: bool) -> None:
        self._ports = ports
        self._tapes = tapes
        self._keep = keep
        self._scope = TaskScope()
        self._recorded = 0
        self._another = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        for port in self._ports:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LINE_BYTES)
            writer.write(b"MONITOR\r\n")
            assert await reader.readline() == b"+OK\r\n"
            self._scope.spawn(self._follow(reader, writer), name=f"monitor {port}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._scope.__aexit__(kind, error, trace)

    async def until(self, count: int) -> None:
        """Wait until this number of frames is recorded."""
        while self._recorded < count:
            self._another.clear()
            await self._another.wait()

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                async for line in reader:
                    self._record(line)
        finally:
            writer.close()

    def _record(self, line: bytes) -> None:
        write = _WRITES.search(line)
        tape = self._tapes.get(write["conversation"].decode()) if write else None
        if write is None or tape is None:
            return
        frame, _ = codecs.escape_decode(write["frame"])
        tape.add(position(write["id"].decode()), frame, keep=self._keep)
        self._recorded += 1
        self._another.set()

"""Traffic: what is published when, the same for every server that is measured."""

import asyncio
import struct
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

MAGIC = b"\xf0RELAY"
"""How every payload begins: load clients find frames by it, whatever a server wraps around them."""
STAMP = struct.Struct(">6sQI")
"""Magic, nanoseconds of this machine's monotonic clock, number of the frame in its conversation from 1.

18 bytes, so that the beginning of a payload in base64 is the stamp in base64, without a remainder.
"""
UNSTAMPED = 0
"""The number of a frame that is counted, but neither timed nor checked."""
TICK_S = 0.001
"""How often publishers wake up at most; uvloop's timers are no finer."""
_LATE_S = 0.05


class Clip(msgspec.Struct, frozen=True):
    """One frame of what every conversation gets again and again."""

    at_s: float
    """After the beginning of the period."""
    size_bytes: int


class Traffic(msgspec.Struct, frozen=True):
    """What all conversations get: the same clips each period, their beginnings spread evenly over it."""

    conversations: int
    period_s: float
    clips: tuple[Clip, ...]

    @classmethod
    def steady(cls, conversations: int, frame_bytes: int, rate: float) -> "Traffic":
        """Frames of one size, ``rate`` a second in all."""
        return cls(conversations, conversations / rate, (Clip(0.0, frame_bytes),))

    @property
    def rate(self) -> float:
        """Frames published a second."""
        return self.conversations * len(self.clips) / self.period_s

    def order(self) -> list[tuple[float, int, int]]:
        """One period: when, to which conversation, how many bytes; sorted."""
        return sorted(
            (
                (number / self.conversations * self.period_s + clip.at_s) % self.period_s,
                number,
                clip.size_bytes,
            )
            for number in range(self.conversations)
            for clip in self.clips
        )

    def as_json(self) -> Any:
        """For processes in other languages, too."""
        return msgspec.to_builtins(self)


class Pacer:
    """Publishes traffic on time. One task, however many conversations.

    Args:
        publish: Called with the conversation's number and the payload.
        stamped: Whether payloads carry their time; without, the same bytes are published over and over.
        tick_s: How often it wakes up at most.
    """

    def __init__(
        self, publish: Callable[[int, bytes], None], *, stamped: bool = True, tick_s: float = TICK_S
    ) -> None:
        self._publish = publish
        self._stamped = stamped
        self._tick_s = tick_s
        self._seqs: dict[int, int] = {}
        self._fillers: dict[int, bytes] = {}
        self._running: asyncio.Task[None] | None = None
        self.published = 0
        self.late_s = 0.0
        """The most that a frame was published after its time: high when the machine is too busy."""

    def begin(self, traffic: Any) -> None:
        """Count from zero, and publish this traffic, as ``Traffic.as_json`` has it, until stopped."""
        self.published, self.late_s = 0, 0.0
        self._running = asyncio.create_task(self._run(msgspec.convert(traffic, Traffic)))

    async def stop(self) -> dict[str, Any]:
        """Publish no more. Returns what was published and how late at most; raises what stopped it before."""
        if self._running is not None:
            self._running.cancel()
            [outcome] = await asyncio.gather(self._running, return_exceptions=True)
            if isinstance(outcome, Exception):
                raise outcome
        return {"published": self.published, "late_ms": round(self.late_s * 1000, 1)}

    async def _run(self, traffic: Traffic) -> None:
        order = traffic.order()
        begin = time.monotonic()
        for period in count():
            start = begin + period * traffic.period_s
            for at, conversation, size_bytes in order:
                while (ahead := start + at - time.monotonic()) > 0:
                    await asyncio.sleep(max(self._tick_s, ahead))
                self.late_s = max(self.late_s, -ahead)
                self._publish(conversation, self.payload(conversation, size_bytes))
                self.published += 1
                if ahead < -_LATE_S:
                    await asyncio.sleep(0)  # behind: what was published must still get out

    def payload(self, conversation: int, size_bytes: int) -> bytes:
        """The next payload of a conversation, stamped now."""
        filler = self._fillers.get(size_bytes) or self._fill(size_bytes)
        if not self._stamped:
            return filler
        seq = self._seqs[conversation] = self._seqs.get(conversation, 0) + 1
        return STAMP.pack(MAGIC, time.monotonic_ns(), seq) + filler

    def _fill(self, size_bytes: int) -> bytes:
        filler = (bytes(range(64)) * (size_bytes // 64 + 1))[: size_bytes - STAMP.size]
        self._fillers[size_bytes] = filler if self._stamped else STAMP.pack(MAGIC, 0, UNSTAMPED) + filler
        return self._fillers[size_bytes]

"""The publisher: owns conversations and publishes traffic into them, on the path that ingest uses."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

from tests.benchmarks.traffic import Pacer
from tests.benchmarks.worker import serve

from relay_redis.errors import StoreError
from relay_runtime import heap
from relay_streams import conversations
from relay_streams.conversations import Conversation
from relay_streams.keys import KeySpace
from relay_streams.leases import Assignment, Leases, UplinkProgress
from relay_streams.publisher import Publisher
from relay_streams.writer import Writer
from relay_turns.effects import Publish
from relay_wire import events
from relay_wire.frame import Codec, Kind

FRAMES_PER_TURN = 100
"""Streams keep two turns: with the default frames of 2 KB, 400 KB of each conversation."""
_AUDIO_BYTES = 4096
"""Longer payloads are motion."""
_LEASE_MS = 3_600_000
_LINK_REPLAY_BYTES = 256 * 1024


class Owner:
    """One process that owns all conversations."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._publisher: Publisher
        self._writers: list[Writer] = []
        self._numbers: list[int] = []
        self._traces: list[str] = []
        """By conversation, the context of its turn; empty: the turn is not sampled."""
        self._trace_ratio = 0.0
        self._random = random.Random(1)  # ids of traces, no secrets
        self.pacer = Pacer(self._publish)

    async def own(self, redis_url: str, ids: list[str], trace_ratio: float) -> None:
        """Create these conversations and claim them. This share of their turns is sampled."""
        self._trace_ratio = trace_ratio
        self._traces = [""] * len(ids)
        self._publisher = await self._stack.enter_async_context(
            Publisher(redis_url, republish_bytes=_LINK_REPLAY_BYTES)
        )
        client, keys = self._publisher.client, KeySpace()
        await client.ready()
        registry = Leases(client, keys, owner="bench", lease_ms=_LEASE_MS)

        async def claim(number: int, conversation: str) -> Writer:
            await conversations.create(
                client,
                keys.conversation(conversation),
                Conversation(conversation, "open", "avatar", 16000, Codec.PCM_S16LE, number),
            )
            queue = keys.conversation(conversation).unowned
            lease = await registry.claim(Assignment(queue, "", conversation))
            if lease is None:
                raise RuntimeError(f"{conversation} cannot be claimed")
            return self._publisher.open(lease, progress=_no_progress, on_lost=_fail)

        self._writers = await asyncio.gather(*(claim(*one) for one in enumerate(ids)))
        # The first turns are shorter, each by another length: else all conversations would end their turns,
        # and have them trimmed, at the same moment for ever.
        self._numbers = [number * FRAMES_PER_TURN // len(ids) for number in range(len(ids))]
        started = Publish(Kind.EVENT, 1, events.encode(events.TurnStarted()), 0)
        for writer in self._writers:
            owned = Publish(Kind.EVENT, 0, events.encode(events.FIRST_OWNER), 0)
            writer.append([owned, started], checkpoint=b"")
        await asyncio.gather(*(writer.drained() for writer in self._writers))
        heap.tune()

    async def turns(self, frames: int, frame_bytes: int) -> None:
        """Publish a turn into every conversation, as fast as Redis takes it."""
        for number in range(len(self._writers)):
            self._numbers[number] = -(-self._numbers[number] // FRAMES_PER_TURN) * FRAMES_PER_TURN
            for _ in range(frames):
                self._publish(number, self.pacer.payload(number, frame_bytes))
        await asyncio.gather(*(writer.drained() for writer in self._writers))

    async def end(self) -> dict[str, Any]:
        """Stop, and report what was published, when all of it is acknowledged."""
        report = await self.pacer.stop()
        await asyncio.gather(*(writer.drained() for writer in self._writers))
        return report

    def _publish(self, conversation: int, payload: bytes) -> None:
        turn, place = divmod(self._numbers[conversation], FRAMES_PER_TURN)
        self._numbers[conversation] += 1
        kind = Kind.AUDIO if len(payload) <= _AUDIO_BYTES else Kind.MOTION
        publishes = [Publish(kind, turn + 1, payload, 0, end=place == FRAMES_PER_TURN - 1)]
        if place == 0 and turn > 0:
            publishes.insert(0, Publish(Kind.EVENT, turn + 1, events.encode(events.TurnStarted()), 0))
            self._traces[conversation] = self._new_trace()
        trace = self._traces[conversation]
        traces = [trace] * len(publishes) if trace else ()
        self._writers[conversation].append(publishes, checkpoint=b"", traces=traces)

    def _new_trace(self) -> str:
        if self._random.random() >= self._trace_ratio:
            return ""
        return f"00-{self._random.getrandbits(128):032x}-{self._random.getrandbits(64):016x}-01"


def _no_progress() -> UplinkProgress:
    return UplinkProgress("0-0", 0, 0, "ended", "")


def _fail(error: StoreError) -> None:
    raise error


if __name__ == "__main__":
    owner = Owner()
    serve({"own": owner.own, "turns": owner.turns, "begin": owner.pacer.begin, "end": owner.end})

"""Text from outside, whatever it is: it fails the call that brings it, or is stored as it is, and nobody else
ever sees a value that is not theirs."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.rigs.store import NO_PROGRESS

from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_redis.metrics import RECONNECTS, VIOLATIONS
from relay_redis.pubsub import PubSub
from relay_streams import conversations
from relay_streams.consumer import StreamConsumer
from relay_streams.conversations import Conversation
from relay_streams.errors import InputMismatch, OffsetGap, SpeakerBusy, TurnClosed, UplinkFull
from relay_streams.publisher import Publisher
from relay_streams.scripts import SCHEMA
from relay_streams.scripts.append_speech import APPEND_SPEECH
from relay_streams.scripts.append_uplink import APPEND_UPLINK
from relay_streams.uplink import Uplink
from relay_turns.effects import Publish
from relay_wire import uplink
from relay_wire.frame import Codec, Kind

ATTEMPTS = 2000
READERS = 8
PIECES = (
    "",
    "a",
    "é",
    "\0",
    "\r\n",
    "*1\r\n$4\r\nPING\r\n",
    "\udcff",
    "\ud800",
    "\udfff",
    "\U0010ffff",
    "{p00}",
    "%s",
)
EXPECTED = (StoreError, ValueError, SpeakerBusy, TurnClosed, UplinkFull, InputMismatch, OffsetGap)
"""The errors that a caller of these may receive."""


class Foreign:
    """Whatever may come from outside, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        """Any text: pieces that have a meaning somewhere, and any code points, surrogates too."""
        some = self.random.choices(PIECES, k=self.random.randrange(4))
        some += [chr(self.random.randrange(0x110000)) for _ in range(self.random.randrange(4))]
        return "".join(some)

    def data(self) -> bytes:
        """Any bytes."""
        return self.random.choice(
            (b"", b"\r\n", b"-ERR\r\n", self.random.randbytes(self.random.randrange(50)))
        )

    def either(self) -> str | bytes:
        return self.random.choice((self.text, self.data))()


def names(keys: Any, text: str) -> Conversation:
    return Conversation(
        text, "open", text, 16000, Codec.PCM_S16LE, created_ms=1, agent=text, creator=text, checkpoint=b""
    )


def ends() -> list[float]:
    """Connections that have ended so far, and for which reasons."""
    names = ("foreign", "publish", "foreign-queue", "foreign-read", "foreign-pubsub")
    metrics = [RECONNECTS.labels(name) for name in names]
    metrics += [VIOLATIONS.labels(name, kind) for name in names for kind in ("protocol", "defect")]
    return [metric._value.get() for metric in metrics]


@pytest.mark.parametrize("seed", range(3))
async def test_nobody_sees_what_is_not_theirs(open_store, seed) -> None:
    """Each field of each call that takes text from outside, while others read their own keys."""
    foreign = Foreign(seed)
    async with (
        open_store() as store,
        RedisClient(store.url, SCHEMA, name="foreign", timeout_s=5) as client,
        Publisher(store.url) as publisher,
        StreamConsumer(store.url, name="foreign") as consumer,
        PubSub(store.url, lambda _, __: None, name="foreign-queue") as pubsub,
    ):
        keys = await store.create()
        lease = await store.claim(await store.create())
        up = Uplink(client)
        lost: list[StoreError] = []
        text, data, either = foreign.text, foreign.data, foreign.either

        async def publish() -> None:
            writer = publisher.open(lease, progress=lambda: NO_PROGRESS, on_lost=lost.append)
            writer.append(
                [Publish(Kind.AUDIO, 1, data(), 0)],
                checkpoint=data(),
                uplink_cursor=text(),
                traces=[text()],
            )
            await writer.drained()
            writer.close()

        async def subscribe() -> None:
            name = text()
            pubsub.subscribe(name)
            pubsub.unsubscribe(name)

        async def read_stream() -> None:
            consumer.subscribe(text(), 0, text(), print, print).close()

        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: client.execute("SET", either(), either()),
            lambda: client.execute("HSET", "hash", either(), either()),
            lambda: client.execute("HGETALL", either()),
            lambda: client.execute("XADD", "stream", "*", either(), either()),
            lambda: client.execute(text()),
            lambda: client.execute("GET", "k", key=text()),
            lambda: client.run_script(
                APPEND_UPLINK, (keys.meta, keys.up), text(), 9, text(), text(), either()
            ),
            lambda: client.run_script(APPEND_SPEECH, (text(), text()), *(either() for _ in range(12))),
            lambda: up.append_speech(
                keys, key=text(), offset=0, pcm=data(), end=True, trace=text(), barge_in=True
            ),
            lambda: up.find(keys, key=text()),
            lambda: up.append(keys, uplink.Interrupt(reason=text())),
            lambda: up.append(keys, uplink.Text(text())),
            lambda: up.append(keys, uplink.Microphone(data())),
            lambda: up.append(keys, uplink.ClipRequest(text())),
            lambda: up.append(keys, uplink.Playback(1, text(), 1, text())),
            lambda: conversations.create(client, keys, names(keys, text())),
            lambda: conversations.create(client, store.keys.conversation(text()), names(keys, text())),
            publish,
            subscribe,
            read_stream,
        ]
        done = asyncio.Event()
        await client.ready()
        before = ends()

        async def read(number: int) -> int:
            """Read the own conversation, over the same client as all others."""
            mine, reads = f"own:{number}", 0
            await client.execute("SET", mine, mine)
            await client.execute("HSET", f"{mine}:hash", mine, mine)
            while not done.is_set():
                replies = await asyncio.gather(
                    client.execute("GET", mine),
                    client.execute("HGETALL", f"{mine}:hash"),
                    client.execute("ECHO", mine),
                )
                assert list(replies) == [mine.encode(), [mine.encode()] * 2, mine.encode()]
                reads += 1
            return reads

        readers = [asyncio.create_task(read(number)) for number in range(READERS)]
        for _ in range(ATTEMPTS // 8):
            await asyncio.gather(*(_attempt(foreign.random.choice(calls)) for _ in range(8)))
        done.set()

        assert min(await asyncio.gather(*readers)) > 10
        assert ends() == before


async def _attempt(call: Callable[[], Awaitable[object]]) -> None:
    with suppress(*EXPECTED):
        await call()

"""The gateway: who gets in, where they start, what they get, and what happens to the slow and the bad."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from relay_auth.viewer_tokens import Role, mint
from relay_client import Closed, Refused, Viewer
from relay_gateway.app import Gateway, gateway
from relay_runtime.http import listen
from relay_settings.gateway import GatewaySettings
from relay_streams.publisher import Publisher, Writer
from relay_wire import events, frame, messages, uplink
from relay_wire.frame import Codec, Flags, Frame, Kind
from relay_wire.position import Position
from relay_wire.turns import Publish

KEY = "k" * 40


@dataclass
class Bench:
    """A gateway, a conversation someone owns, and ways to watch it."""

    store: Any
    url: str
    keys: Any
    writer: Writer
    http: aiohttp.ClientSession
    service: Gateway

    def token(
        self, role: Role = Role.SPEAK, *, ttl_s: int = 60, conversation: str = "", key: str = KEY
    ) -> str:
        return mint(key, conversation=conversation or self.keys.id, role=role, ttl_s=ttl_s)[0]

    def viewer(self, start: str = "turn", **options: Any) -> Viewer:
        return Viewer(self.url, self.keys.id, self.token(), start=start, session=self.http, **options)

    async def turn(self, number: int, frames: int = 5, size: int = 100) -> None:
        """Publish a whole turn."""
        event = events.encode(events.TurnStarted())
        self.writer.append([Publish(Kind.EVENT, number, event, 0)], checkpoint=b"")
        for index in range(frames):
            payload = f"{number}.{index}.".encode() * (size // 4)
            self.writer.append([Publish(Kind.AUDIO, number, payload, index * 100)], checkpoint=b"")
            if index % 5 == 4:
                await asyncio.sleep(0)
        ended = events.encode(events.TurnEnded("complete"))
        self.writer.append([Publish(Kind.EVENT, number, ended, 0)], checkpoint=b"")
        await self.writer.drained()

    async def connect(self, path: str = "", **options: Any) -> aiohttp.ClientWebSocketResponse:
        options.setdefault("headers", {"Authorization": f"Bearer {self.token()}"})
        return await self.http.ws_connect(
            f"{self.url}{path or f'/v1/conversations/{self.keys.id}/stream'}", max_msg_size=2**20, **options
        )

    async def uplink(self) -> list[uplink.Entry]:
        return [uplink.decode(fields) for _, fields in await self.store.entries(self.keys.up)]


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``: a gateway in this process, at a clean store."""

    @asynccontextmanager
    async def made(**settings: Any) -> AsyncIterator[Bench]:
        async with open_store() as store, Publisher(store.url) as publisher, aiohttp.ClientSession() as http:
            options = {"RELAY_TOKEN_SECRET": KEY, "redis_url": store.url, "app_id": "app", **settings}
            async with (
                gateway(GatewaySettings.load(**options)) as service,
                listen(service.application(), "127.0.0.1", 0) as url,
            ):
                lease = await store.claim(await store.create())
                writer = store.writer(publisher, lease)
                first = events.encode(events.OwnerChanged("0-0"))
                writer.append([Publish(Kind.EVENT, 0, first, 0)], checkpoint=b"")
                await writer.drained()
                yield Bench(store, url.replace("http", "ws"), lease.keys, writer, http, service)

    return made


async def collect(viewer: Viewer, count: int) -> list[Frame]:
    """So many frames of the stream, and the gateway's events between them."""
    frames: list[Frame] = []
    async with asyncio.timeout(10):
        async for received in viewer:
            frames.append(received)
            if sum(f.seq > 0 for f in frames) >= count:
                return frames
    return frames


def seqs(frames: list[Frame]) -> list[int]:
    return [received.seq for received in frames if received.seq]


# --- where a viewer starts ----------------------------------------------------------------------


async def test_hello_comes_first(bench) -> None:
    """With all a client needs to set up its player."""
    async with bench() as b, b.viewer("live") as viewer:
        await b.turn(1)
        [hello, *_] = await collect(viewer, 1)

        generation = b.writer.generation
        assert hello.seq == 0
        assert events.decode(hello.payload) == events.Hello(
            position=f"{generation}-1", turn=0, sample_rate=16000, codec="pcm_s16le",
            avatar_id="ava", app_id="app", region="us-west",
        )  # fmt: skip


async def test_live_frames_are_the_streams_bytes(bench) -> None:
    """What is stored is what is sent."""
    async with bench() as b, await b.connect() as socket:
        await b.turn(1)
        received = [await socket.receive_bytes(timeout=5) for _ in range(9)]

        stored = [fields[b"f"] for _, fields in await b.store.entries(b.keys.down)]
        assert received[1:] == stored


@pytest.mark.parametrize(
    ("start", "first"), [("turn", 9), ("", 9), ("live", 16), ("{g}-3", 4), ("{g}-15", 16)]
)
async def test_where_to_start(bench, start: str, first: int) -> None:
    """The current turn, live, after a position; then on without a hole."""
    async with bench() as b:
        await b.turn(1)
        await b.turn(2)
        path = f"/v1/conversations/{b.keys.id}/stream"
        if start:
            path += f"?from={start.format(g=b.writer.generation)}"
        async with await b.connect(path) as socket:
            await socket.receive_bytes(timeout=5)
            await b.turn(3)
            got = [frame.decode(await socket.receive_bytes(timeout=5)).seq for _ in range(first, 23)]

        assert got == list(range(first, 23))


async def test_a_new_conversation_from_its_beginning(bench) -> None:
    """Without any turn there is nothing to replay but its beginning."""
    async with bench() as b, b.viewer() as viewer:
        await b.turn(1)

        assert seqs(await collect(viewer, 8)) == list(range(1, 9))


async def test_two_viewers_get_the_same(bench) -> None:
    """One joins in the middle; both end with the same bytes."""
    async with bench() as b, b.viewer() as early:
        await b.turn(1, frames=30)
        async with b.viewer() as late:
            await b.turn(2, frames=30)
            all_of_it = await collect(early, 65)
            rest = await collect(
                late, 32 if events.decode((await late.__aiter__().__anext__()).payload).turn == 2 else 64
            )

        assert seqs(all_of_it) == list(range(1, 66))
        assert seqs(rest)[-1] == 65


# --- resuming ------------------------------------------------------------------------------------


async def test_a_cut_viewer_misses_nothing(bench) -> None:
    """Cut again and again while frames flow: each once, in order."""
    async with bench() as b, b.viewer() as viewer:
        received: list[Frame] = []

        async def watch() -> None:
            async for got in viewer:
                received.append(got)
                if got.seq and got.seq % 50 == 0:
                    viewer.cut()
                if got.seq == 410:
                    return

        watching = asyncio.create_task(watch())
        for turn in range(1, 6):
            await b.turn(turn, frames=80)
        await asyncio.wait_for(watching, 20)

        assert seqs(received) == list(range(1, 411))
        assert viewer.report.resumes >= 3
        assert (viewer.report.gaps, viewer.report.duplicates, viewer.report.out_of_order) == (0, 0, 0)


async def test_too_late_is_told(bench) -> None:
    """Whose frames are gone is told so, and gets the current turn from its start."""
    async with bench() as b:
        for turn in (1, 2, 3, 4):
            await b.turn(turn)
        generation = b.writer.generation
        async with b.viewer(f"{generation}-5") as viewer:
            frames = await collect(viewer, 7)

        gaps = [events.decode(f.payload) for f in frames if f.seq == 0][1:]
        assert gaps == [events.Gap(f"{generation}-5", f"{generation}-22")]
        assert seqs(frames) == list(range(23, 30))
        assert viewer.report.gaps == 1


async def test_a_turn_cut_by_the_byte_cap_is_told(bench) -> None:
    """When even the current turn's start is gone, what is left follows the gap."""
    async with bench() as b:
        b.writer._publisher.retention_bytes = 5000
        await b.turn(1, frames=20, size=1000)
        entries = await b.store.entries(b.keys.down)
        oldest = Position.parse(entries[0][0])
        async with b.viewer() as viewer:
            frames = await collect(viewer, len(entries))

        assert oldest.seq > 3
        assert [events.decode(f.payload) for f in frames if f.seq == 0][1] == events.Gap(
            f"{b.writer.generation}-1", str(oldest.before)
        )
        assert seqs(frames)[0] == oldest.seq


async def test_a_new_owner_is_no_gap(bench) -> None:
    """Generations join where the new owner says; a viewer across them sees one conversation."""
    async with bench() as b, b.viewer() as viewer, Publisher(b.store.url) as publisher:
        await b.turn(1)
        lease = b.writer
        await b.store.link.execute("DEL", b.keys.lease)
        await b.store.link.execute("XADD", b.keys.unowned, "*", "c", b.keys.id)
        successor = await b.store.claim(b.keys, "next")
        writer = b.store.writer(publisher, successor)
        changed = events.encode(events.OwnerChanged(str(lease.tail)))
        writer.append([Publish(Kind.EVENT, 0, changed, 0), Publish(Kind.AUDIO, 1, b"x", 0)], checkpoint=b"")
        await writer.drained()
        frames = await collect(viewer, 10)

        assert [(f.generation, f.seq) for f in frames if f.seq][-2:] == [
            (successor.generation, 1),
            (successor.generation, 2),
        ]
        assert (viewer.report.gaps, viewer.report.out_of_order) == (0, 0)


async def test_a_hole_in_the_stream_is_told(bench) -> None:
    """Even live viewers learn that frames are missing."""
    async with bench() as b, b.viewer("live") as viewer:
        await b.turn(1)
        await collect(viewer, 7)
        b.writer._seq += 3
        await b.store.link.execute("HSET", b.keys.meta, "tail", str(b.writer.tail))
        b.writer.append([Publish(Kind.AUDIO, 1, b"x", 0)], checkpoint=b"")
        frames = await collect(viewer, 1)

        generation = b.writer.generation
        assert [events.decode(f.payload) for f in frames if f.seq == 0] == [
            events.Gap(f"{generation}-8", f"{generation}-11")
        ]
        assert seqs(frames) == [12]


# --- refusals ------------------------------------------------------------------------------------


async def refused(b: Bench, path: str, **options: Any) -> tuple[int, str]:
    """The status and problem a handshake gets."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await b.connect(path, **options)
    return error.value.status, error.value.headers["Avatar-Relay-Problem"]


@pytest.mark.parametrize(
    "start",
    ["garbage", "1", "1-", "-", "turn-", "1-1-1", "99999999999999999999999-1", "{future}-1", "{g}-4000",
     "5-1", "{g}-0x1"],
)  # fmt: skip
async def test_positions_that_are_none(bench, start: str) -> None:
    """Garbage, the future, and what this conversation never had."""
    async with bench() as b:
        await b.turn(1)
        generation = b.writer.generation
        path = (
            f"/v1/conversations/{b.keys.id}/stream?from={start.format(g=generation, future=generation + 9)}"
        )

        assert await refused(b, path) == (400, "bad-position")


async def test_another_conversations_position(bench) -> None:
    """A position between ours, which ours never had, is refused rather than guessed at."""
    async with bench() as b:
        await b.turn(1)
        lease = b.writer.generation
        await b.store.link.execute("DEL", b.keys.lease)
        await b.store.link.execute("XADD", b.keys.unowned, "*", "c", b.keys.id)
        successor = await b.store.claim(b.keys, "next")
        async with Publisher(b.store.url) as publisher:
            writer = b.store.writer(publisher, successor)
            writer.append([Publish(Kind.AUDIO, 1, b"x", 0)], checkpoint=b"")
            await writer.drained()
        between = (lease + successor.generation) // 2
        foreign = f"{max(lease, between)}-{3 if between > lease else 50}"

        assert await refused(b, f"/v1/conversations/{b.keys.id}/stream?from={foreign}") == (
            400,
            "bad-position",
        )


async def test_an_unknown_conversation(bench) -> None:
    """With a token for it, even."""
    async with bench() as b:
        headers = {"Authorization": f"Bearer {b.token(conversation='nobody')}"}

        assert await refused(b, "/v1/conversations/nobody/stream", headers=headers) == (
            404,
            "unknown-conversation",
        )


async def test_tokens(bench) -> None:
    """Missing, expired, forged, foreign."""
    async with bench() as b:
        path = f"/v1/conversations/{b.keys.id}/stream"
        for token, answer in {
            "": (401, "unauthorized"),
            "garbage": (401, "unauthorized"),
            b.token(ttl_s=-60): (401, "unauthorized"),
            b.token(key="o" * 40): (401, "unauthorized"),
            b.token(conversation="other"): (403, "forbidden"),
        }.items():
            assert await refused(b, path, headers={"Authorization": f"Bearer {token}"}) == answer
        assert await refused(b, path, headers={}) == (401, "unauthorized")


async def test_browsers_send_the_token_as_a_subprotocol(bench) -> None:
    """Only ours is accepted in the answer; the token is never echoed."""
    async with bench() as b:
        protocols = ("avatar-relay.v1", f"avatar-relay.token.{b.token()}")
        async with await b.connect(headers={}, protocols=protocols) as socket:
            assert socket.protocol == "avatar-relay.v1"
            assert frame.decode(await socket.receive_bytes(timeout=5)).kind is Kind.EVENT


async def test_other_subprotocols_are_refused(bench) -> None:
    """A client of another protocol must not think it was understood."""
    async with bench() as b:
        path = f"/v1/conversations/{b.keys.id}/stream"

        assert await refused(b, path, protocols=("graphql-ws",)) == (400, "bad-request")


async def test_plain_requests(bench) -> None:
    """Not a WebSocket: told so, as a problem."""
    async with bench() as b:
        url = b.url.replace("ws", "http")
        async with b.http.get(f"{url}/v1/conversations/{b.keys.id}/stream") as response:
            body = await response.json(content_type="application/problem+json")
            assert (response.status, body["type"]) == (426, "urn:avatar-relay:problem:upgrade-required")
        async with b.http.get(f"{url}/nowhere") as response:
            assert (response.status, response.content_type) == (404, "application/problem+json")
        async with b.http.post(f"{url}/v1/conversations/x/stream") as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")


async def test_without_redis(bench) -> None:
    """Try later, not a crash."""
    async with bench(redis_timeout_s=0.2) as b:
        await b.store.link.execute("CLIENT", "PAUSE", "600", "ALL")

        assert await refused(b, f"/v1/conversations/{b.keys.id}/stream") == (503, "store-unavailable")
        await b.store.link.execute("PING")  # until the pause is over


# --- what viewers say ----------------------------------------------------------------------------


async def test_messages_reach_the_owner(bench, eventually) -> None:
    """Playback, interrupt, text and microphone go up; a ping is answered at once."""
    async with bench() as b, b.viewer("live") as viewer:
        await viewer.report_playback(3, "stalled", 120)
        await viewer.interrupt()
        await viewer.send_text("hi")
        await viewer.send_microphone(b"\x01\x02")
        await viewer.ping("7")
        stream = viewer.frames()
        pong = [await anext(stream), await anext(stream)][1]

        assert events.decode(pong.payload) == events.Pong("7")
        assert await b.uplink() == [
            uplink.Playback(3, "stalled", 120), uplink.Interrupt(0, "viewer"),
            uplink.Text("hi"), uplink.Microphone(b"\x01\x02"),
        ]  # fmt: skip


async def test_listeners_may_not_speak(bench) -> None:
    """Their reports count, their words do not, and they are told."""
    async with bench() as b:
        headers = {"Authorization": f"Bearer {b.token(Role.LISTEN)}"}
        async with await b.connect(headers=headers) as socket:
            for message in (messages.Interrupt(), messages.Text("x"), messages.Playback(1, "started")):
                await socket.send_str(messages.encode(message))
            await socket.send_str(messages.encode(messages.Ping()))
            heard: list[Any] = []
            while not heard or not isinstance(heard[-1], events.Pong):
                received = frame.decode(await socket.receive_bytes(timeout=5))
                heard += [events.decode(received.payload)] if received.seq == 0 else []

        assert [event.code for event in heard if isinstance(event, events.Error)] == ["forbidden"] * 2
        assert await b.uplink() == [uplink.Playback(1, "started", 0)]


@pytest.mark.parametrize("bad", ["hello", '{"type":"dance"}', b"binary", b"\x00" * 40, '{"type":"text"}'])
async def test_bad_messages(bench, bad: str | bytes) -> None:
    """Each is told; enough of them end the socket; another viewer does not notice."""
    async with bench(bad_messages=3) as b, b.viewer() as other, await b.connect() as socket:
        for _ in range(3):
            await (socket.send_str(bad) if isinstance(bad, str) else socket.send_bytes(bad))
        told = []
        async for message in socket:
            event = events.of_frame(message.data)
            told += [event.code] if isinstance(event, events.Error) else []

        assert told == ["bad_message"] * 3
        assert socket.close_code == 4400
        await b.turn(1)
        assert seqs(await collect(other, 8)) == list(range(1, 9))


async def test_a_microphone_frame_of_another_kind(bench) -> None:
    """Viewers do not publish."""
    async with bench(bad_messages=1) as b, await b.connect() as socket:
        await socket.send_bytes(
            frame.encode(Frame(Kind.AUDIO, Flags.NONE, Codec.PCM_S16LE, 1, 1, 1, 0, 0, b"x"))
        )
        async for _ in socket:
            pass

        assert socket.close_code == 4400


async def test_a_message_too_big(bench) -> None:
    """2 MiB: closed as too big, nobody else disturbed."""
    async with bench() as b, b.viewer() as other, await b.connect() as socket:
        await socket.send_bytes(bytes(2 * 2**20))
        async for _ in socket:
            pass
        assert socket.close_code == 1009
        await b.turn(1)
        assert seqs(await collect(other, 8)) == list(range(1, 9))


# --- the slow, and the end -----------------------------------------------------------------------


async def test_a_slow_viewer_delays_nobody(bench, eventually) -> None:
    """It stops reading: the other gets everything, memory stays bounded, it is closed as slow."""
    async with (
        bench(client_buffer_bytes=50_000, slow_client_s=0.5, ring_bytes=10_000) as b,
        b.viewer("live") as quick,
    ):
        host, port = b.url.removeprefix("ws://").split(":")
        raw = sockets.socket()
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        await asyncio.to_thread(raw.connect, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=raw, limit=1024)
        request = (
            f"GET /v1/conversations/{b.keys.id}/stream?from=live HTTP/1.1\r\nHost: x\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
            f"Authorization: Bearer {b.token()}\r\n\r\n"
        )
        writer.write(request.encode())
        await reader.readuntil(b"\r\n\r\n")
        for turn in range(1, 11):
            await b.turn(turn, frames=100, size=10_000)
            assert len(seqs(await collect(quick, 102))) == 102
        await eventually(lambda: len(b.service._sockets) == 1)
        received = 0
        with suppress(ConnectionError):
            async with asyncio.timeout(10):
                while data := await reader.read(65536):
                    received += len(data)
        writer.close()

        assert received < 10_000_000, "it did not get everything: it was closed"


async def test_a_viewer_that_fell_behind_catches_up(bench) -> None:
    """A pause in reading is no loss."""
    async with bench(client_buffer_bytes=20_000, ring_bytes=10_000) as b, await b.connect() as socket:
        await socket.receive_bytes(timeout=5)
        for turn in (1, 2):
            await b.turn(turn, frames=300, size=4000)
        got = []
        async with asyncio.timeout(20):
            while len(got) < 605:
                received = frame.decode(await socket.receive_bytes())
                got.append(received.seq)

        assert got == list(range(1, 606))


async def test_the_end_of_a_conversation(bench) -> None:
    """The last frame, then a final close; who comes back later gets the same end."""
    async with bench() as b, b.viewer() as viewer:
        await b.turn(1)
        ended = events.encode(events.ConversationEnded("deleted"))
        b.writer.append([Publish(Kind.EVENT, 0, ended, 0)], checkpoint=b"")
        frames = [got async for got in viewer]
        assert events.decode(frames[-1].payload) == events.ConversationEnded("deleted")
        await b.store.link.execute("HSET", b.keys.meta, "state", "ended")

        async with b.viewer(f"{b.writer.generation}-4") as late:
            assert seqs([got async for got in late]) == [5, 6, 7, 8, 9]


async def test_leaving_closes_with_a_resume_code(bench) -> None:
    """A gateway that ends sends its viewers elsewhere."""
    async with bench() as b, await b.connect() as socket:
        await socket.receive_bytes(timeout=5)
        leaving = asyncio.create_task(b.service.close())
        async for _ in socket:
            pass
        await leaving

        assert socket.close_code == 1012


async def test_the_client_says_why_it_stopped(bench) -> None:
    """Final refusals and closes are errors of their own; a conversation's end is not an error."""
    async with bench(bad_messages=1) as b:
        with pytest.raises(Refused, match="bad-position"):
            await b.viewer("garbage").__aenter__()
        async with b.viewer() as viewer:
            await viewer._connected().send_str("nonsense")
            with pytest.raises(Closed, match="bad_message"):
                await collect(viewer, 100)


async def test_no_task_is_left(bench, eventually) -> None:
    """Viewers that come and go leave nothing behind."""
    async with bench(feed_linger_s=0) as b:
        await asyncio.sleep(0)
        before = len(asyncio.all_tasks())
        for _ in range(20):
            async with b.viewer() as viewer:
                await viewer.ping()
        await eventually(lambda: len(asyncio.all_tasks()) <= before)

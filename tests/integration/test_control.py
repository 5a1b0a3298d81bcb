"""Control: every resource, every refusal, and the audio socket; on both servers."""

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from relay_auth.viewer_tokens import Role, verify
from relay_control.app import application
from relay_runtime.http import listen
from relay_settings.control import ControlSettings
from relay_streams.conversations import read
from relay_wire import speaker, uplink

API_KEY = "a-key-of-a-backend"
TOKEN_KEY = "k" * 40
AUTH = {"Authorization": f"Bearer {API_KEY}"}


def a_wav(pcm: bytes, *, rate: int = 16000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(2)
        wav.setframerate(rate)
        wav.writeframes(pcm)
    return file.getvalue()


@dataclass
class Bench:
    """Control, and a backend that talks to it."""

    store: Any
    url: str
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        """Status, body and headers."""
        options.setdefault("headers", AUTH)
        async with self.http.request(method, self.url + path, **options) as response:
            return response.status, await response.json(content_type=None), response.headers

    async def create(self, **wishes: Any) -> str:
        status, body, _ = await self.call("POST", "/v1/conversations", json=wishes)
        assert status == 201
        identifier: str = body["id"]
        return identifier

    async def speak(
        self, conversation: str, body: Any, content_type: str = "audio/pcm", query: str = ""
    ) -> tuple[int, Any]:
        headers = {**AUTH, "Content-Type": content_type}
        status, answer, _ = await self.call(
            "POST", f"/v1/conversations/{conversation}/turns{query}", data=body, headers=headers
        )
        return status, answer

    def socket(self, conversation: str, **options: Any) -> Any:
        options.setdefault("headers", AUTH)
        return self.http.ws_connect(f"{self.url}/v1/conversations/{conversation}/audio", **options)

    async def said(self, conversation: str) -> list[uplink.Entry]:
        keys = self.store.keys.conversation(conversation)
        return [uplink.decode(fields) for _, fields in await self.store.entries(keys.up)]


@pytest.fixture
def bench(open_store):
    """``async with bench() as b``: control in this process, at a clean store."""

    @asynccontextmanager
    async def made(**settings: Any) -> AsyncIterator[Bench]:
        async with open_store() as store, aiohttp.ClientSession() as http:
            options = {
                "RELAY_TOKEN_SECRET": TOKEN_KEY, "RELAY_API_KEYS": f"other-key-of-16-chars,{API_KEY}",
                "avatar_id": "default-avatar", "gateway_url": "wss://edge.example/", **settings,
            }  # fmt: skip
            app = application(ControlSettings.load(**options), store.link)
            async with listen(app, "127.0.0.1", 0) as url:
                yield Bench(store, url, http)

    return made


# --- conversations -------------------------------------------------------------------------------


async def test_a_conversations_life(bench) -> None:
    """Created with defaults or wishes, read, deleted; deleting again changes nothing."""
    async with bench() as b:
        status, made, headers = await b.call(
            "POST", "/v1/conversations", json={"avatar_id": "ava", "sample_rate": 24000}
        )
        assert status == 201
        assert headers["Location"] == f"/v1/conversations/{made['id']}"
        assert (made["state"], made["avatar_id"], made["sample_rate"]) == ("open", "ava", 24000)
        assert made["stream_url"] == f"wss://edge.example/v1/conversations/{made['id']}/stream"
        assert len(made["id"]) == 26

        status, shown, _ = await b.call("GET", f"/v1/conversations/{made['id']}")
        assert (status, shown) == (200, made)
        for _ in range(2):
            status, shown, _ = await b.call("DELETE", f"/v1/conversations/{made['id']}")
            assert (status, shown["state"]) == (202, "closing")
        assert await b.said(made["id"]) == [uplink.Close("deleted")]


async def test_an_empty_body_takes_the_defaults(bench) -> None:
    """The simplest create is a bare POST."""
    async with bench() as b:
        status, made, _ = await b.call("POST", "/v1/conversations")

        assert (status, made["avatar_id"], made["sample_rate"]) == (201, "default-avatar", 16000)


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (b"{", 400, "malformed-json"),
        (b"[]", 422, "invalid-field"),
        (b"\xff", 400, "malformed-json"),
        (b'{"sample_rate":"fast"}', 422, "invalid-field"),
        (b'{"sample_rate":12345}', 422, "invalid-field"),
        (b'{"avatar":"x"}', 422, "invalid-field"),
        (b'{"avatar_id":"' + b"x" * 200 + b'"}', 422, "invalid-field"),
    ],
)
async def test_wrong_wishes(bench, body: bytes, status: int, problem: str) -> None:
    """Malformed JSON and fields that are not allowed are told apart."""
    async with bench() as b:
        got, answer, headers = await b.call("POST", "/v1/conversations", data=body)

        assert (got, answer["type"]) == (status, f"urn:avatar-relay:problem:{problem}")
        assert headers["Content-Type"].startswith("application/problem+json")
        assert await b.store.link.execute("DBSIZE") == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/interrupt"), ("POST", "/tokens")],
)
async def test_an_unknown_conversation(bench, method: str, path: str) -> None:
    """Everything about it is 404."""
    async with bench() as b:
        status, answer, _ = await b.call(method, f"/v1/conversations/nobody{path}")

        assert (status, answer["title"]) == (404, "There is no such conversation")
        assert await b.speak("nobody", b"\x00\x01") == (404, answer)


async def test_keys(bench) -> None:
    """Any valid key, in either header; nothing else gets in, whatever it asks for."""
    async with bench() as b:
        for headers in ({"X-API-Key": API_KEY}, {"Authorization": "Bearer other-key-of-16-chars"}):
            assert (await b.call("POST", "/v1/conversations", headers=headers))[0] == 201
        for headers in (
            {},
            {"X-API-Key": "wrong"},
            {"Authorization": f"Basic {API_KEY}"},
            {"Authorization": "Bearer"},
        ):
            for path in ("/v1/conversations", "/nowhere"):
                status, answer, _ = await b.call("POST", path, headers=headers)
                assert (status, answer["type"]) == (401, "urn:avatar-relay:problem:unauthorized")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await b.socket("x", headers={})
        assert refused.value.status == 401


async def test_paths_and_methods(bench) -> None:
    """What is not there is a problem, too."""
    async with bench() as b:
        assert (await b.call("GET", "/nowhere"))[0] == 404
        status, answer, headers = await b.call("PUT", "/v1/conversations")
        assert (status, answer["status"], headers["Allow"]) == (405, 405, "POST")


async def test_without_redis(bench) -> None:
    """503 with Retry-After, within the timeout."""
    async with bench() as b:
        b.store.link._timeout_s = 0.2
        await b.store.link.execute("CLIENT", "PAUSE", "500", "ALL")
        status, answer, headers = await b.call("POST", "/v1/conversations")

        assert (status, answer["type"]) == (503, "urn:avatar-relay:problem:store-unavailable")
        assert headers["Retry-After"] == "1"
        b.store.link._timeout_s = 5
        await b.store.link.execute("PING")  # until the pause is over


# --- turns ---------------------------------------------------------------------------------------


async def test_a_wav_is_a_turn(bench) -> None:
    """Cut into frames' worth, numbered, its samples untouched."""
    async with bench() as b:
        conversation = await b.create()
        pcm = bytes(range(256)) * 50

        status, answer = await b.speak(conversation, a_wav(pcm), "audio/wav")

        assert (status, answer) == (202, {"turn": 1, "audio_bytes": len(pcm), "audio_ms": 400})
        speech = await b.said(conversation)
        assert b"".join(chunk.pcm for chunk in speech) == pcm
        assert [len(chunk.pcm) for chunk in speech] == [3200] * 4
        assert [chunk.end for chunk in speech] == [False, False, False, True]


async def test_turns_are_numbered(bench) -> None:
    """One after the other; barging in is passed on."""
    async with bench() as b:
        conversation = await b.create()
        turns = [(await b.speak(conversation, b"\x00\x01"))[1]["turn"] for _ in range(3)]
        await b.speak(conversation, b"\x00\x01", query="?barge_in=true")

        assert turns == [1, 2, 3]
        assert [chunk.barge_in for chunk in await b.said(conversation)] == [False] * 3 + [True]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "problem"),
    [
        (b"", "audio/wav", 400, "empty-audio"),
        (b"", "audio/pcm", 400, "empty-audio"),
        (b"plainly not", "audio/wav", 400, "not-a-wav"),
        (a_wav(bytes(400), channels=2), "audio/wav", 422, "unsupported-audio"),
        (a_wav(bytes(400), rate=11025), "audio/wav", 422, "unsupported-audio"),
        (a_wav(bytes(400), rate=48000), "audio/wav", 422, "unsupported-audio"),
        (b"\x00\x01\x02", "audio/pcm", 422, "unsupported-audio"),
        (b"\x00\x01", "text/plain", 415, "unsupported-media"),
    ],
)
async def test_bad_audio(bench, body: bytes, content_type: str, status: int, problem: str) -> None:
    """Refused before anything is spoken: no turn is opened for it."""
    async with bench() as b:
        conversation = await b.create()
        got, answer = await b.speak(conversation, body, content_type)

        assert (got, answer["type"]) == (status, f"urn:avatar-relay:problem:{problem}")
        assert await b.said(conversation) == []
        assert (await b.speak(conversation, b"\x00\x01"))[1]["turn"] == 1


@pytest.mark.lingers
async def test_200_megabytes(bench) -> None:
    """Refused by its announced size without reading it, and by its real size when none is announced."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield bytes(2**20)

    async with bench() as b:
        conversation = await b.create()
        status, answer = await b.speak(conversation, io.BytesIO(bytes(200 * 2**20)))
        assert (status, answer["type"]) == (413, "urn:avatar-relay:problem:too-large")
        try:
            status, answer = await b.speak(conversation, endless())
        except aiohttp.ClientError:
            status = 413  # it hung up while we were still sending
        assert status == 413
        assert await b.said(conversation) == []
        assert (await b.speak(conversation, b"\x00\x01"))[0] == 202


async def test_a_flag_that_is_none(bench) -> None:
    """?barge_in=perhaps."""
    async with bench() as b:
        status, answer = await b.speak(await b.create(), b"\x00\x01", query="?barge_in=perhaps")

        assert (status, answer["field"]) == (422, "barge_in")


async def test_a_turn_while_another_is_spoken(bench) -> None:
    """409, with the turn in the way; barging in goes through."""
    async with bench() as b:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await socket.receive_str(timeout=5)
            status, answer = await b.speak(conversation, b"\x00\x01")
            assert (status, answer["turn"]) == (409, 1)
            assert (await b.speak(conversation, b"\x00\x01", query="?barge_in=true"))[1]["turn"] == 2


async def test_a_queue_that_is_full(bench) -> None:
    """The turn waits for room, then is cancelled as a whole: no half turn is spoken."""
    async with bench(uplink_entries=64, uplink_wait_s=0.2, audio_chunk_ms=10) as b:
        conversation = await b.create()
        status, answer, headers = await b.call(
            "POST", f"/v1/conversations/{conversation}/turns", data=bytes(320 * 100),
            headers={**AUTH, "Content-Type": "audio/pcm"},
        )  # fmt: skip

        assert (status, answer["type"]) == (503, "urn:avatar-relay:problem:uplink-full")
        assert headers["Retry-After"] == "5"
        assert (await b.said(conversation))[-1] == uplink.Interrupt(1, "uplink_full")


async def test_after_the_end(bench) -> None:
    """A conversation that is closing takes no turn."""
    async with bench() as b:
        conversation = await b.create()
        await b.call("DELETE", f"/v1/conversations/{conversation}")

        assert (await b.speak(conversation, b"\x00\x01"))[0] == 410
        assert (await b.call("POST", f"/v1/conversations/{conversation}/interrupt"))[0] == 410
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await b.socket(conversation)
        assert refused.value.status == 410


async def test_interrupting(bench) -> None:
    """Every turn so far is meant."""
    async with bench() as b:
        conversation = await b.create()
        await b.speak(conversation, b"\x00\x01")
        status, answer, _ = await b.call("POST", f"/v1/conversations/{conversation}/interrupt")

        assert (status, answer) == (202, {"interrupted_upto": 1})
        assert (await b.said(conversation))[-1] == uplink.Interrupt(1, "backend")


async def test_a_callers_trace_goes_with_the_turn(bench) -> None:
    """W3C trace context, on the turn's first entry."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with bench() as b:
        conversation = await b.create()
        await b.call(
            "POST", f"/v1/conversations/{conversation}/turns", data=bytes(6400),
            headers={**AUTH, "Content-Type": "audio/pcm", "traceparent": parent},
        )  # fmt: skip
        first, second = await b.said(conversation)

        assert first.traceparent.split("-")[1] == parent.split("-")[1]
        assert second.traceparent == ""


# --- tokens --------------------------------------------------------------------------------------


async def test_tokens(bench) -> None:
    """For this conversation, for as long as asked, with where to use them; never cached."""
    async with bench() as b:
        conversation = await b.create()
        status, answer, headers = await b.call(
            "POST", f"/v1/conversations/{conversation}/tokens", json={"role": "listen", "ttl_s": 60}
        )

        assert status == 201
        assert headers["Cache-Control"] == "no-store"
        assert answer["url"] == f"wss://edge.example/v1/conversations/{conversation}/stream"
        assert verify(TOKEN_KEY, answer["token"]) == (conversation, Role.LISTEN, answer["expires_at"])


@pytest.mark.parametrize("body", [{"role": "admin"}, {"ttl_s": 1}, {"ttl_s": 10**6}, {"ttl": 60}])
async def test_wrong_tokens(bench, body: dict[str, Any]) -> None:
    """Roles and lives there are none of."""
    async with bench() as b:
        conversation = await b.create()

        assert (await b.call("POST", f"/v1/conversations/{conversation}/tokens", json=body))[0] == 422


# --- the audio socket ----------------------------------------------------------------------------


async def answers(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[speaker.ToSpeaker]:
    return [speaker.decode_answer(await socket.receive_str(timeout=5)) for _ in range(count)]


async def test_speaking_live(bench) -> None:
    """A turn opens with its first chunk, every chunk is acknowledged, `end` closes it; then another."""
    async with bench() as b:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            for _ in range(2):
                await socket.send_bytes(b"\x00\x01" * 10)
                await socket.send_bytes(b"\x02\x03")
                await socket.send_str(speaker.encode(speaker.End()))
            assert await answers(socket, 8) == [
                speaker.Turn(1), speaker.Ack(1, 20), speaker.Ack(1, 22), speaker.Ended(1, 22),
                speaker.Turn(2), speaker.Ack(2, 20), speaker.Ack(2, 22), speaker.Ended(2, 22),
            ]  # fmt: skip


async def test_chunks_cut_within_a_sample(bench) -> None:
    """Streams are cut anywhere: no byte is lost, every frame is whole samples."""
    async with bench() as b:
        conversation = await b.create()
        pcm = bytes(range(100))
        async with b.socket(conversation) as socket:
            for start in range(0, 100, 7):
                await socket.send_bytes(pcm[start : start + 7])
            await socket.send_str(speaker.encode(speaker.End()))
            while not isinstance((await answers(socket, 1))[0], speaker.Ended):
                pass

        speech = await b.said(conversation)
        assert b"".join(chunk.pcm for chunk in speech) == pcm
        assert all(len(chunk.pcm) % 2 == 0 for chunk in speech)


async def test_a_turn_of_odd_length(bench) -> None:
    """Told, counted, ended: the half sample is dropped, the turn is not."""
    async with bench() as b:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01\x02")
            await socket.send_str(speaker.encode(speaker.End()))
            _, _, error, ended = await answers(socket, 4)

        assert (error.code, ended) == ("unsupported-audio", speaker.Ended(1, 2))


async def test_large_messages_are_cut(bench) -> None:
    """A whole reply in one message becomes frames of 64 KiB at most."""
    async with bench() as b:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            await socket.send_bytes(bytes(200_000))
            await socket.send_str(speaker.encode(speaker.End()))
            while not isinstance((await answers(socket, 1))[0], speaker.Ended):
                pass

        assert [len(chunk.pcm) for chunk in await b.said(conversation)] == [65536, 65536, 65536, 3392, 0]


async def test_a_message_too_large(bench) -> None:
    """2 MiB: closed as too big."""
    async with bench() as b, b.socket(await b.create()) as socket:
        await socket.send_bytes(bytes(2 * 2**20))
        async for _ in socket:
            pass

        assert socket.close_code == 1009


@pytest.mark.parametrize("text", ["hello", "{}", '{"type":"dance"}', '{"type":"ack","turn":1,"offset":1}'])
async def test_bad_messages(bench, text: str) -> None:
    """Each is told, the turn goes on; eight of them end the socket."""
    async with bench() as b:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await socket.send_str(text)
            await socket.send_bytes(b"\x02\x03")
            got = await answers(socket, 4)
            assert [type(answer).__name__ for answer in got] == ["Turn", "Ack", "Error", "Ack"]
            for _ in range(7):
                await socket.send_str(text)
            async for _ in socket:
                pass
            assert socket.close_code == 4400


async def test_interrupting_oneself(bench) -> None:
    """What follows is a new turn."""
    async with bench() as b:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await socket.send_str(speaker.encode(speaker.Interrupt()))
            await socket.send_bytes(b"\x02\x03")
            got = await answers(socket, 5)

        assert got[2:] == [speaker.Interrupted(1), speaker.Turn(2), speaker.Ack(2, 2)]


async def test_being_interrupted(bench) -> None:
    """Late audio of an interrupted turn is thrown away, not spoken as a turn of its own."""
    async with bench() as b:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await answers(socket, 2)
            await b.call("POST", f"/v1/conversations/{conversation}/interrupt")
            for _ in range(3):
                await socket.send_bytes(b"\x00\x01")
            await socket.send_str(speaker.encode(speaker.End()))
            await socket.send_bytes(b"\x02\x03")

            assert await answers(socket, 3) == [speaker.Interrupted(1), speaker.Turn(2), speaker.Ack(2, 2)]


async def test_two_speakers(bench) -> None:
    """The second is told, and may barge in."""
    async with bench() as b:
        conversation = await b.create()
        async with b.socket(conversation) as first, b.socket(conversation) as second:
            await first.send_bytes(b"\x00\x01")
            await answers(first, 2)
            await second.send_bytes(b"\x02\x03")
            [error] = await answers(second, 1)
            assert error.code == "turn-open"
            await second.send_str(speaker.encode(speaker.Start(barge_in=True)))
            await second.send_bytes(b"\x02\x03")
            assert await answers(second, 2) == [speaker.Turn(2), speaker.Ack(2, 2)]
            await first.send_bytes(b"\x00\x01")
            assert await answers(first, 1) == [speaker.Interrupted(1)]


async def test_starting_in_the_middle_of_a_turn(bench) -> None:
    """Refused; the turn goes on."""
    async with bench() as b:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await socket.send_str(speaker.encode(speaker.Start()))
            await socket.send_bytes(b"\x02\x03")
            got = await answers(socket, 4)

        assert [type(answer).__name__ for answer in got] == ["Turn", "Ack", "Error", "Ack"]


async def test_a_proper_close_ends_the_turn(bench, eventually) -> None:
    """Closing with 1000 means that everything was said."""
    async with bench() as b:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await answers(socket, 2)
        keys = b.store.keys.conversation(conversation)
        async with asyncio.timeout(5):
            while (await read(b.store.link, keys)).input_open:
                await asyncio.sleep(0.01)

        assert (await b.said(conversation))[-1] == uplink.Speech(1, 2, b"", end=True)


async def test_a_broken_connection_leaves_the_turn_open(bench) -> None:
    """The speaker may come back."""
    async with bench() as b:
        conversation = await b.create()
        socket = await b.socket(conversation)
        await socket.send_bytes(b"\x00\x01")
        await answers(socket, 2)
        socket._conn.transport.abort()
        await socket.close()
        await asyncio.sleep(0.05)

        assert (await read(b.store.link, b.store.keys.conversation(conversation))).input_open


async def test_deleting_while_speaking(bench) -> None:
    """The socket is closed with the conversation's end."""
    async with bench() as b:
        conversation = await b.create()
        async with b.socket(conversation) as socket:
            await socket.send_bytes(b"\x00\x01")
            await answers(socket, 2)
            await b.call("DELETE", f"/v1/conversations/{conversation}")
            await socket.send_bytes(b"\x00\x01")
            async for _ in socket:
                pass

            assert socket.close_code == 4410


async def test_a_plain_request_to_the_socket(bench) -> None:
    """426."""
    async with bench() as b:
        assert (await b.call("GET", f"/v1/conversations/{await b.create()}/audio"))[0] == 426

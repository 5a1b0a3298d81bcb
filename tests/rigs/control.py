"""Control, and a backend that uses it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from tests.rigs.eventually import eventually

from relay_auth.api_keys import Scope, new_key
from relay_control.app import application
from relay_control.audio_socket import SPEAKERS
from relay_runtime.http import listen
from relay_settings.control import ControlSettings
from relay_streams.conversations import read
from relay_wire import audio_socket, uplink

API_KEY, KNOWN_KEY = new_key([Scope.ADMIN])
OTHER_KEY, _OTHER = new_key([Scope.ADMIN])
TOKEN_KEY = "k" * 40


@dataclass
class ControlRig:
    """Control, and a backend that uses it."""

    store: Any
    url: str
    http: aiohttp.ClientSession
    auth: dict[str, str]
    key: str = API_KEY
    other_key: str = OTHER_KEY

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        """Status, body and headers."""
        options["headers"] = {**self.auth, **options.get("headers", {})}
        async with self.http.request(method, self.url + path, **options) as response:
            return response.status, await response.json(content_type=None), response.headers

    async def create(self, **wishes: Any) -> str:
        status, body, _ = await self.call("POST", "/v1/conversations", json=wishes)
        assert status == 201
        identifier: str = body["id"]
        return identifier

    async def speak(
        self,
        conversation: str,
        body: Any,
        content_type: str = "audio/pcm",
        query: str = "",
        key: str | None = None,
    ) -> tuple[int, Any]:
        """Post a turn; status and body of the answer."""
        headers = {"Content-Type": content_type}
        if key is not None:
            headers["Idempotency-Key"] = key
        status, answer, _ = await self.call(
            "POST", f"/v1/conversations/{conversation}/turns{query}", data=body, headers=headers
        )
        return status, answer

    def socket(self, conversation: str, **options: Any) -> Any:
        """Open the audio socket."""
        options.setdefault("headers", self.auth)
        return self.http.ws_connect(f"{self.url}/v1/conversations/{conversation}/audio", **options)

    async def up_entries(self, conversation: str) -> list[uplink.Entry]:
        """The entries of the uplink."""
        entries: list[uplink.Entry] = await self.store.uplink(self.store.keys.conversation(conversation))
        return entries

    async def audio(self, conversation: str) -> dict[int, bytes]:
        """Every turn's audio, in the order it went in; what does not follow fails."""
        turns: dict[int, bytes] = {}
        for entry in await self.up_entries(conversation):
            if isinstance(entry, uplink.SpeechChunk):
                so_far = turns.get(entry.turn, b"")
                assert entry.offset == len(so_far)
                turns[entry.turn] = so_far + entry.pcm
        return turns

    async def input(self, conversation: str) -> tuple[int, int, str]:
        """Turn, bytes and state of its input in the record."""
        record = await read(self.store.client, self.store.keys.conversation(conversation))
        return record.input_turn, record.input_offset, record.input_state

    async def until(self, conversation: str, state: tuple[int, int, str]) -> None:
        """Wait until the input is there."""
        await eventually(lambda: self.input(conversation), 5, until=lambda found: found == state)

    async def no_speakers(self) -> None:
        """Wait until control has noticed that every socket is gone."""
        await eventually(lambda: not SPEAKERS._value.get(), 5)

    @staticmethod
    async def answers(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[audio_socket.ToSpeaker]:
        """The next answers at an audio socket."""
        return [audio_socket.decode_answer(await socket.receive_str(timeout=5)) for _ in range(count)]

    @staticmethod
    async def until_ended(socket: aiohttp.ClientWebSocketResponse) -> list[audio_socket.ToSpeaker]:
        """Every answer up to ``ended``."""
        answers: list[audio_socket.ToSpeaker] = []
        while not answers or not isinstance(answers[-1], audio_socket.Ended):
            answers.append(audio_socket.decode_answer(await socket.receive_str(timeout=5)))
        return answers

    @staticmethod
    async def acknowledged(socket: aiohttp.ClientWebSocketResponse, ack: audio_socket.Ack) -> None:
        """Read acks up to this one: one ack may stand for several messages."""
        while (answer := audio_socket.decode_answer(await socket.receive_str(timeout=5))) != ack:
            assert isinstance(answer, audio_socket.Ack)
            assert answer.turn == ack.turn
            assert answer.offset < ack.offset

    @staticmethod
    async def send(socket: aiohttp.ClientWebSocketResponse, message: audio_socket.FromSpeaker) -> None:
        """Send a message over an audio socket."""
        await socket.send_str(audio_socket.encode(message))


@asynccontextmanager
async def open_control(store: Any, **settings: Any) -> AsyncIterator[ControlRig]:
    """Control in this process, at this store."""
    async with aiohttp.ClientSession() as http, AsyncExitStack() as stack:
        options = {
            "RELAY_TOKEN_SECRET": TOKEN_KEY, "RELAY_API_KEYS": f"{_OTHER},{KNOWN_KEY}",
            "avatar_id": "default-avatar", "gateway_url": "wss://edge.example/", **settings,
        }  # fmt: skip
        app = await application(ControlSettings.load(**options), store.client, stack)
        async with listen(app, "127.0.0.1", 0) as url:
            yield ControlRig(store, url, http, {"Authorization": f"Bearer {API_KEY}"})

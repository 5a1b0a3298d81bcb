"""The backend: control's API as an app's backend uses it."""

from collections.abc import AsyncIterator, Iterable
from typing import Any, Self

import aiohttp

from relay_wire import speaker


class BackendError(Exception):
    """Raised when control refuses a request.

    Attributes:
        status: The HTTP status.
        problem: The problem object, as far as there is one.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"HTTP {status}: {problem.get('title', '')} {problem.get('detail', '')}".strip())
        self.status = status
        self.problem = problem


class Backend:
    """A client of control. Enter it to open the session; leaving closes it.

    Args:
        url: Base URL of control.
        api_key: A key it knows.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def create(self, **wishes: Any) -> dict[str, Any]:
        """Create a conversation."""
        return await self._call("POST", "/v1/conversations", json=wishes)

    async def read(self, conversation: str) -> dict[str, Any]:
        """Read one."""
        return await self._call("GET", f"/v1/conversations/{conversation}")

    async def delete(self, conversation: str) -> dict[str, Any]:
        """End one."""
        return await self._call("DELETE", f"/v1/conversations/{conversation}")

    async def token(self, conversation: str, **wishes: Any) -> str:
        """A viewer token."""
        answer = await self._call("POST", f"/v1/conversations/{conversation}/tokens", json=wishes)
        token: str = answer["token"]
        return token

    async def speak(
        self, conversation: str, audio: bytes, *, content_type: str = "audio/pcm", barge_in: bool = False
    ) -> dict[str, Any]:
        """Speak a whole turn."""
        return await self._call(
            "POST",
            f"/v1/conversations/{conversation}/turns",
            params={"barge_in": "true"} if barge_in else {},
            data=audio,
            headers={"Content-Type": content_type},
        )

    async def interrupt(self, conversation: str) -> dict[str, Any]:
        """Cancel every turn so far."""
        return await self._call("POST", f"/v1/conversations/{conversation}/interrupt")

    async def speak_live(self, conversation: str, chunks: Iterable[bytes]) -> int:
        """Speak a turn chunk by chunk over the audio socket; returns its number once all of it is in."""
        async with self.socket(conversation) as socket:
            for chunk in chunks:
                await socket.send_bytes(chunk)
            await socket.send_str(speaker.encode(speaker.End()))
            async for answer in _answers(socket):
                if isinstance(answer, speaker.Ended):
                    return answer.turn
                if isinstance(answer, speaker.Error | speaker.Interrupted):
                    raise BackendError(0, {"title": "the turn was not taken", "detail": str(answer)})
            raise BackendError(0, {"title": "the audio socket closed", "detail": str(socket.close_code)})

    def socket(
        self, conversation: str
    ) -> "aiohttp.client._BaseRequestContextManager[aiohttp.ClientWebSocketResponse]":
        """The audio socket."""
        return self._session.ws_connect(f"{self._url}/v1/conversations/{conversation}/audio")

    async def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        async with self._session.request(method, self._url + path, **options) as response:
            try:
                body: dict[str, Any] = await response.json(content_type=None)
            except ValueError:
                body = {"title": await response.text()}
            if response.status >= 400:
                raise BackendError(response.status, body)
            return body


async def _answers(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[speaker.ToSpeaker]:
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            yield speaker.decode_answer(message.data)

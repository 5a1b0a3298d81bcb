"""The backend: control's API, as an app's backend uses it."""

import asyncio
import io
import secrets
from datetime import date
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from relay_client import refusals
from relay_client.backoff import Backoff
from relay_client.errors import ControlUnavailable, RequestRefused
from relay_client.outgoing_turn import OutgoingTurn
from relay_client.refusals import Unavailable
from relay_client.resources import (
    Clip,
    Clips,
    Conversation,
    DailyUsage,
    TurnAccepted,
    TurnsInterrupted,
    Usage,
    ViewerToken,
)
from relay_client.speech_stream import SpeechStream
from relay_wire.close_codes import ReconnectAdvice

_CONNECT_S = 10.0
"""Longest wait for a connection, and for an audio socket to open."""
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=60.0)
"""Timeouts of a request. The answer to a turn may wait for capacity in the uplink."""
_REDIRECTION = 300
"""Redirections are not followed: the key is for this address."""
_CLOSE_S = 2.0
"""Longest wait for the answer to a close."""
_MAX_BUFFERED_BYTES = 1024 * 1024
_RETRYABLE = (aiohttp.ClientError, OSError, TimeoutError)

T = TypeVar("T")


class Backend:
    """A client of control. Enter it to open its HTTP session; leaving closes it.

    Requests are retried, with backoff and after ``Retry-After``, when control is restarted, overloaded or
    without its Redis, and when a connection breaks; a turn is spoken once. ``create`` and
    ``interrupt`` are not sent again when they may have taken effect.

    Every request raises:

    - ``RequestRefused``: control refused the request.
    - ``ControlUnavailable``: it failed for ``give_up_s``, or may have taken effect and is not sent again.

    A cancelled request may have taken effect.

    Args:
        url: Base URL of control.
        api_key: An API key of control's.
        give_up_s: How long a request, or connecting, may fail before an error is raised; None: for ever.
        heartbeat_s: Interval of pings on audio sockets; a socket without an answer is closed.
        session: An aiohttp session to share; None creates one.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        give_up_s: float | None = 30.0,
        heartbeat_s: float = 10.0,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._give_up_s = give_up_s
        self._heartbeat_s = heartbeat_s
        self._session = session
        self._own_session = session is None

    async def __aenter__(self) -> Self:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._own_session and self._session is not None:
            await self._session.close()
            self._session = None

    # --- conversations --------------------------------------------------------------------------

    async def create(
        self,
        *,
        avatar_id: str | None = None,
        sample_rate: int | None = None,
        agent: str | None = None,
        talk_over: Literal["never", "requests", "always"] | None = None,
        record: bool | None = None,
    ) -> Conversation:
        """Create a conversation. None stands for control's default.

        Args:
            avatar_id: The vendor's avatar.
            sample_rate: Sample rate of its speech, in Hz.
            agent: The agent that answers its viewers.
            talk_over: Messages of a viewer that interrupt a speaking avatar.
            record: Whether to record it; a relay that does not record refuses.
        """
        body = {
            "avatar_id": avatar_id,
            "sample_rate": sample_rate,
            "agent": agent,
            "talk_over": talk_over,
            "record": record,
        }
        return await self._request(
            Conversation, "POST", "/v1/conversations", repeatable=False, json=_without_none(body)
        )

    async def read(self, conversation: str) -> Conversation:
        """Read a conversation.

        Args:
            conversation: Its id.
        """
        return await self._request(Conversation, "GET", _path(conversation))

    async def end(self, conversation: str) -> Conversation:
        """End a conversation: the running turn stops, and viewers receive ``conversation_ended``."""
        return await self._request(Conversation, "DELETE", _path(conversation))

    async def token(
        self, conversation: str, *, role: Literal["listen", "speak"] | None = None, ttl_s: int | None = None
    ) -> ViewerToken:
        """Get a viewer token. None stands for control's default.

        Args:
            conversation: The conversation that it is valid for.
            role: The role of its viewer.
            ttl_s: How long it is valid, in seconds.
        """
        body = {"role": role, "ttl_s": ttl_s}
        return await self._request(
            ViewerToken, "POST", _path(conversation, "tokens"), json=_without_none(body)
        )

    async def usage(self, first: date | None = None, last: date | None = None) -> list[DailyUsage]:
        """Read what the conversations of this API key used; with the scope ``admin``, those of every key.

        Args:
            first: The first day, in UTC; None: 29 days before the last.
            last: The last day; None: today.
        """
        params = _without_none({"from": first and first.isoformat(), "to": last and last.isoformat()})
        return list((await self._request(Usage, "GET", "/v1/usage", params=params)).usage)

    # --- speech ---------------------------------------------------------------------------------

    async def post_turn(
        self,
        conversation: str,
        audio: bytes,
        *,
        content_type: str = "audio/pcm",
        barge_in: bool = False,
        key: str = "",
    ) -> TurnAccepted:
        """Speak a whole turn, once, however often the connection breaks.

        Args:
            conversation: Its id.
            audio: PCM at the conversation's rate, or a WAV file.
            content_type: ``audio/pcm`` or ``audio/wav``.
            barge_in: Cancel the turns that play or wait.
            key: Idempotency key: 1 to 128 visible ASCII characters, another for each turn; empty:
                one is generated. After ``ControlUnavailable`` or a cancellation the turn may have been
                spoken: posting it again with the same key speaks it once.
        """
        return await self._request(
            TurnAccepted,
            "POST",
            _path(conversation, "turns"),
            params={"barge_in": "true"} if barge_in else {},
            body=audio,
            headers={"Content-Type": content_type, "Idempotency-Key": key or _new_key()},
        )

    async def speak_clip(
        self, conversation: str, clip: str, *, barge_in: bool = False, key: str = ""
    ) -> TurnAccepted:
        """Speak a clip that is ready, as a turn of its own, once; guarantee and errors as of ``post_turn``.

        Args:
            conversation: Its id; of the clip's avatar and rate.
            clip: The clip's id.
            barge_in: Cancel the turns that play or wait.
            key: Idempotency key of the turn.
        """
        return await self._request(
            TurnAccepted,
            "POST",
            _path(conversation, "turns"),
            params={"barge_in": "true"} if barge_in else {},
            json={"clip": clip},
            headers={"Idempotency-Key": key or _new_key()},
        )

    def speech(
        self,
        conversation: str,
        *,
        barge_in: bool = False,
        key: str = "",
        sample_rate: int | None = None,
        traceparent: str = "",
        tracestate: str = "",
        max_buffered_bytes: int = _MAX_BUFFERED_BYTES,
    ) -> SpeechStream:
        """A turn to be spoken as it is synthesised: ``async with backend.speech(id) as stream``.

        Args:
            conversation: Its id.
            barge_in: Cancel the turns that play or wait, when this turn opens.
            key: Idempotency key, as of ``post_turn``. A stream with the key of an earlier one resumes
                that turn: send it from its first byte; bytes in the uplink are not spoken again.
            sample_rate: Sample rate of the audio, in Hz: control refuses another than the conversation's.
                None leaves it unchecked.
            traceparent: W3C trace context of the turn.
            tracestate: Its vendors' part.
            max_buffered_bytes: Most audio kept until it is acknowledged; ``send`` waits beyond.
        """
        turn = OutgoingTurn(
            key or _new_key(),
            barge_in=barge_in,
            traceparent=traceparent,
            tracestate=tracestate,
            sample_rate=sample_rate,
            max_buffered_bytes=max_buffered_bytes,
        )
        return SpeechStream(turn, lambda: self._open(conversation), give_up_s=self._give_up_s)

    async def interrupt(self, conversation: str) -> int:
        """Cancel every turn so far; returns the last of them, 0 when there was none."""
        answer = await self._request(
            TurnsInterrupted, "POST", _path(conversation, "interrupt"), repeatable=False
        )
        return answer.interrupted_upto

    # --- clips ----------------------------------------------------------------------------------

    async def create_clip(
        self,
        audio: bytes,
        *,
        avatar_id: str | None = None,
        sample_rate: int | None = None,
        content_type: str = "audio/pcm",
        key: str = "",
    ) -> Clip:
        """Have speech rendered once, for turns that name it; ``read_clip`` has its progress.

        Args:
            audio: PCM, or a WAV file.
            avatar_id: The vendor's avatar; None: control's.
            sample_rate: Of the audio, in Hz; None: control's default.
            content_type: ``audio/pcm`` or ``audio/wav``.
            key: Idempotency key, as of ``post_turn``: another for each clip.
        """
        return await self._request(
            Clip,
            "POST",
            "/v1/clips",
            params=_without_none({"avatar_id": avatar_id, "sample_rate": sample_rate}),
            body=audio,
            headers={"Content-Type": content_type, "Idempotency-Key": key or _new_key()},
        )

    async def read_clip(self, clip: str) -> Clip:
        """Read a clip."""
        return await self._request(Clip, "GET", _clip_path(clip))

    async def clips(self) -> list[Clip]:
        """The clips of this API key, the newest first."""
        return list((await self._request(Clips, "GET", "/v1/clips")).clips)

    async def delete_clip(self, clip: str) -> Clip:
        """Cancel a clip that is not rendered yet, or remove one. It is not sent again: the second removes."""
        return await self._request(Clip, "DELETE", _clip_path(clip), repeatable=False)

    # --- requests -------------------------------------------------------------------------------

    async def _request(
        self,
        kind: type[T],
        method: str,
        path: str,
        *,
        repeatable: bool = True,
        body: bytes | None = None,
        **options: Any,
    ) -> T:
        """Send a request, with retries, and decode the answer.

        Args:
            kind: The type of the answer.
            method: The method.
            path: The path.
            repeatable: Whether it may be sent again although it may have taken effect.
            body: The body, unchanged.
            options: Options of aiohttp.
        """
        backoff = Backoff(self._give_up_s)
        while True:
            try:
                return await self._attempt(kind, method, path, repeatable=repeatable, body=body, **options)
            except Unavailable as failed:
                unavailable = failed
            wait_s = backoff.next_wait_s(ReconnectAdvice.BACK_OFF, asyncio.get_running_loop().time())
            if wait_s is None:
                raise ControlUnavailable(str(unavailable))
            await asyncio.sleep(unavailable.retry_after_s + wait_s)

    async def _attempt(
        self, kind: type[T], method: str, path: str, *, repeatable: bool, body: bytes | None, **options: Any
    ) -> T:
        options["headers"] = self._headers | options.get("headers", {})
        if body is not None:
            options["data"] = io.BytesIO(body)  # sent in pieces: one write of many megabytes blocks the loop
        try:
            async with self._http.request(
                method, self._url + path, allow_redirects=False, timeout=_TIMEOUT, **options
            ) as response:
                answer = await response.read()
        except _RETRYABLE as error:
            if repeatable or isinstance(error, aiohttp.ClientConnectorError):
                raise refusals.of_error(error) from error
            raise ControlUnavailable(str(error) or type(error).__name__) from error
        if not response.ok or response.status >= _REDIRECTION:
            raise refusals.of_response(response.status, response.headers, answer, repeatable=repeatable)
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RequestRefused(
                response.status, "", "the answer is not one of control: check the URL"
            ) from None

    async def _open(self, conversation: str) -> aiohttp.ClientWebSocketResponse:
        """Open an audio socket.

        Raises:
            RequestRefused: Control refused the request.
            Unavailable: Another attempt may succeed.
        """
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await self._http.ws_connect(
                    self._url + _path(conversation, "audio"),
                    headers=self._headers,
                    heartbeat=self._heartbeat_s,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                )
        except aiohttp.WSServerHandshakeError as error:
            raise refusals.of_handshake(error) from None
        except _RETRYABLE as error:
            raise refusals.of_error(error) from error

    @property
    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise ValueError("the backend is not open: use it in `async with`")
        return self._session


def _path(conversation: str, part: str = "") -> str:
    return f"/v1/conversations/{quote(conversation, safe='')}" + (f"/{part}" if part else "")


def _clip_path(clip: str) -> str:
    return f"/v1/clips/{quote(clip, safe='')}"


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _new_key() -> str:
    return secrets.token_urlsafe(12)

"""The REST resources: conversations, their turns, their tokens."""

import asyncio
import time
from typing import Annotated, TypeVar

import msgspec
from aiohttp import hdrs, web
from prometheus_client import Counter
from ulid import ULID

from relay_auth.api_keys import Scope
from relay_auth.viewer_tokens import Role, ViewerTokens
from relay_control.access import KEY
from relay_control.audio_socket import AudioSocket
from relay_control.audio_websocket import AudioSocketLimits, AudioWebSocket
from relay_control.bodies import Bodies
from relay_control.clips import CLIP_PROBLEMS, ClipResource
from relay_control.errors import UPLINK_RETRY_S
from relay_control.idempotency import IDEMPOTENCY_KEY, idempotency_key
from relay_control.media import JSON_TYPE, PCM_TYPES, WAV_TYPES, check_type, samples_of
from relay_control.operation import Operation, Parameter
from relay_control.responses import (
    ConversationResponse,
    TurnAccepted,
    TurnsInterrupted,
    ViewerTokenResponse,
    json_response,
)
from relay_control.speakers import Speakers
from relay_control.trace_context import context_of
from relay_redis.client import RedisClient
from relay_runtime import http
from relay_runtime.upgrade import check_upgrade
from relay_settings.control import ControlSettings
from relay_streams import conversations
from relay_streams.conversations import PUSH, Conversation, TalkOver
from relay_streams.errors import Ended, Missing, Unreadable, UplinkFull
from relay_streams.keys import ConversationKeys, KeySpace
from relay_streams.recordings import Recordings
from relay_streams.turn_input import TurnInput, new_key
from relay_streams.uplink import Uplink, UplinkLimits
from relay_telemetry.counter import counter
from relay_wire import problems, text
from relay_wire.decoding import UNREADABLE, reason
from relay_wire.frame import Codec
from relay_wire.pcm import SAMPLE_RATES, chunk_bytes, duration_ms
from relay_wire.problems import Problem
from relay_wire.uplink import Close, Interrupt

CREATED = Counter("relay_control_conversations_total", "Conversations created.")
TOKENS = counter("relay_control_tokens_total", "Viewer tokens issued.", role=Role)

_LIMIT_RETRY_S = 10
"""``Retry-After`` at the limit of conversations: one of them may have ended by then."""
_FIRST_COPY_MS = 30_000
"""When a worker looks at a new recording, unless a turn has ended before."""
_OWNER_RETRY_S = 5
"""``Retry-After`` without an owner: a worker may have capacity, or have started, by then."""

T = TypeVar("T")


class NewConversation(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /v1/conversations``."""

    avatar_id: text.Name = ""
    sample_rate: int = 16000
    agent: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}\Z")] = PUSH
    talk_over: TalkOver | None = None
    """None: ``requests`` for a conversation with an agent, else ``never``."""
    record: bool = False
    """Whether the conversation is recorded."""


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /v1/conversations/{id}/tokens``."""

    role: Role = Role.SPEAK
    ttl_s: Annotated[int, msgspec.Meta(ge=10, le=86_400)] | None = None


class ClipTurn(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /v1/conversations/{id}/turns`` for a turn that speaks a clip."""

    clip: text.Name
    """The clip's id."""


class Api:
    """Control's resources.

    Args:
        settings: Control's settings.
        client: The Redis client.
        tokens: Issues viewer tokens.
        bodies: Reads request bodies.
        clips: The clips that turns may name; None: there are none.
    """

    def __init__(
        self,
        settings: ControlSettings,
        client: RedisClient,
        tokens: ViewerTokens,
        bodies: Bodies,
        clips: ClipResource | None,
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self.speakers = Speakers(settings.max_speakers)
        self._keys = KeySpace.of(settings)
        self._client = client
        self._bodies = bodies
        self._clips = clips
        self._uplink = Uplink(client, UplinkLimits.of(settings))
        self._recordings = Recordings(client, self._keys, claim_ms=0)

    def operations(self) -> list[Operation]:
        """The operations of all resources."""
        conversations_, one = "/v1/conversations", "/v1/conversations/{id}"
        key = Parameter(
            IDEMPOTENCY_KEY, "header", "Requests with the same key speak one turn, once.",
            {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^(?!agent:)[!-~]{1,128}$"},
        )  # fmt: skip
        barge_in = Parameter("barge_in", "query", "Cancel the turns that play or wait.", {"type": "boolean"})
        return [
            Operation(
                "POST", conversations_, self._create, Scope.CREATE, "Create a conversation", 201,
                ConversationResponse, NewConversation,
                problems=(problems.MALFORMED_JSON, problems.INVALID_FIELD, problems.TOO_MANY_CONVERSATIONS),
            ),
            Operation(
                "GET", one, self._read, Scope.CREATE, "Read a conversation", 200, ConversationResponse,
                problems=(problems.UNKNOWN_CONVERSATION,),
            ),
            Operation(
                "DELETE", one, self._delete, Scope.CREATE, "End a conversation", 202, ConversationResponse,
                problems=(problems.UNKNOWN_CONVERSATION, problems.CONVERSATION_ENDED),
            ),
            Operation(
                "POST", f"{one}/turns", self._speak, Scope.PUSH, "Speak a turn", 202, TurnAccepted,
                ClipTurn if self._clips else None, media=(*WAV_TYPES, *PCM_TYPES),
                parameters=(barge_in, key),
                problems=(
                    problems.EMPTY_AUDIO, problems.NOT_A_WAV, problems.UNKNOWN_CONVERSATION,
                    problems.TURN_OPEN, problems.CONVERSATION_ENDED, problems.UNSUPPORTED_MEDIA,
                    problems.UNSUPPORTED_AUDIO, problems.INVALID_FIELD, problems.IDEMPOTENCY_MISMATCH,
                    problems.UPLINK_FULL, problems.NO_OWNER,
                    *((*CLIP_PROBLEMS, problems.MALFORMED_JSON) if self._clips else ()),
                ),
                description="The whole speech of a turn, at the conversation's rate"
                + (", or the clip that it speaks." if self._clips else "."),
            ),
            Operation(
                "POST", f"{one}/interrupt", self._interrupt, Scope.PUSH, "Cancel every turn so far", 202,
                TurnsInterrupted, problems=(problems.UNKNOWN_CONVERSATION, problems.CONVERSATION_ENDED),
            ),
            Operation(
                "POST", f"{one}/tokens", self._token, Scope.TOKENS, "Make a viewer token", 201,
                ViewerTokenResponse, NewToken,
                problems=(
                    problems.MALFORMED_JSON, problems.UNKNOWN_CONVERSATION, problems.CONVERSATION_ENDED,
                    problems.INVALID_FIELD,
                ),
            ),
            Operation(
                "GET", f"{one}/audio", self._audio, Scope.PUSH, "Stream speech over a WebSocket", 101,
                problems=(
                    problems.UNKNOWN_CONVERSATION, problems.CONVERSATION_ENDED, problems.UPGRADE_REQUIRED,
                    problems.NO_OWNER, problems.OVERLOADED,
                ),
                description="Turns as they are synthesised; docs/reference/audio-socket.md has the messages.",
            ),
        ]  # fmt: skip

    # --- conversations -------------------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.Response:
        body = await self._body(request, NewConversation)
        if body.sample_rate not in SAMPLE_RATES:
            raise Problem(problems.INVALID_FIELD, f"sample_rate: one of {SAMPLE_RATES}", field="sample_rate")
        avatar_id = body.avatar_id or self._settings.avatar_id
        if not avatar_id:
            raise Problem(
                problems.INVALID_FIELD, "avatar_id: give one, or set SPATIUS_AVATAR_ID", field="avatar_id"
            )
        record = Conversation(
            id=str(ULID()),
            state="open",
            avatar_id=avatar_id,
            sample_rate=body.sample_rate,
            codec=Codec.PCM_S16LE,
            created_ms=time.time_ns() // 1_000_000,
            creator=request[KEY],
            agent=body.agent,
            talk_over=body.talk_over or ("never" if body.agent == PUSH else "requests"),
            recorded=body.record,
        )
        if body.record and not (self._settings.jobs and self._settings.recordings_url):
            detail = "record: this relay does not record: it needs RELAY_JOBS and RELAY_RECORDINGS_URL"
            raise Problem(problems.INVALID_FIELD, detail, field="record")
        limit = self._settings.key_conversations
        if await conversations.count_live(self._client, self._keys, record.creator) >= limit:
            detail = f"{limit} conversations of this key have not ended, which is the limit: end some of them"
            raise Problem(problems.TOO_MANY_CONVERSATIONS, detail, retry_after_s=_LIMIT_RETRY_S)
        if record.recorded:
            await self._recordings.register(record.id, within_ms=_FIRST_COPY_MS)
        keys, bound = self._keys.conversation(record.id), self._settings.outbox_bound
        await conversations.create(self._client, keys, record, outbox_entries=bound)
        CREATED.inc()
        return json_response(self._response(record), status=201, Location=f"/v1/conversations/{record.id}")

    async def _read(self, request: web.Request) -> web.Response:
        keys = self._conversation(request)
        record, attendance = await asyncio.gather(
            self._record_of(keys), conversations.attendance(self._client, keys)
        )
        waits_s = attendance.waits_s
        if waits_s is not None:
            record = record._replace(owner="")
        return json_response(self._response(record, waits_s=int(waits_s or 0)))

    async def _delete(self, request: web.Request) -> web.Response:
        record = await self._record(request)
        if record.state == "open":
            await self._uplink.append(self._keys.conversation(record.id), Close("deleted"))
            record = record._replace(state="closing")
        return json_response(self._response(record), status=202)

    # --- turns ---------------------------------------------------------------------------------

    async def _speak(self, request: web.Request) -> web.Response:
        key, barge_in = idempotency_key(request), _flag(request, "barge_in")
        record = await self._attended(request)
        if self._clips is not None and request.content_type == JSON_TYPE:
            return await self._speak_clip(self._clips, request, record, key=key, barge_in=barge_in)
        kind = request.headers.get(hdrs.CONTENT_TYPE, "")
        check_type(kind, record.sample_rate)
        async with self._bodies.audio(request) as body:
            pcm = samples_of(body, kind, record.sample_rate)
            speech = self._turn_input(request, record, "post", key=key, barge_in=barge_in)
            return await self._speak_all(speech, pcm, record.sample_rate, has_key=bool(key))

    async def _speak_clip(
        self, clips: ClipResource, request: web.Request, record: Conversation, *, key: str, barge_in: bool
    ) -> web.Response:
        body = await self._body(request, ClipTurn)
        clip = await clips.spoken(body.clip, request[KEY], record)
        with self._bodies.hold(clip.size_bytes):
            chunks = await clips.chunks(clip)
            speech = self._turn_input(request, record, "clip", key=key, barge_in=barge_in)
            speech.chunk_bytes = clip.chunk_bytes
            speech.motion = [chunk.motion for chunk in chunks]
            pcm = b"".join(chunk.pcm for chunk in chunks)
            return await self._speak_all(speech, pcm, record.sample_rate, has_key=bool(key))

    def _turn_input(
        self, request: web.Request, record: Conversation, source: str, *, key: str, barge_in: bool
    ) -> TurnInput:
        return TurnInput(
            uplink=self._uplink,
            keys=self._keys.conversation(record.id),
            source=source,
            wait_s=self._settings.uplink_wait_s,
            chunk_bytes=chunk_bytes(self._settings.audio_chunk_ms, record.sample_rate),
            buffer_bytes=0,
            key=key or new_key(),
            barge_in=barge_in,
            trace=context_of(request),
        )

    async def _speak_all(
        self, speech: TurnInput, pcm: bytes, sample_rate: int, *, has_key: bool
    ) -> web.Response:
        try:
            await speech.append(pcm, end=True)
        except UplinkFull:
            if has_key:
                raise
            await self._uplink.append(speech.keys, Interrupt(reason="uplink_full"))
            detail = "the uplink is full; the turn was cancelled"
            raise Problem(problems.UPLINK_FULL, detail, retry_after_s=UPLINK_RETRY_S) from None
        accepted = TurnAccepted(speech.turn, len(pcm), duration_ms(len(pcm), sample_rate))
        return json_response(accepted, status=202)

    async def _interrupt(self, request: web.Request) -> web.Response:
        turn = (await self._uplink.append(self._conversation(request), Interrupt(reason="backend"))).turn
        return json_response(TurnsInterrupted(turn), status=202)

    async def _audio(self, request: web.Request) -> web.StreamResponse:
        check_upgrade(request)
        record = await self._attended(request)
        if record.state != "open":
            raise Problem(problems.CONVERSATION_ENDED, "no further turn can be spoken")
        with self.speakers.admit():
            return await self._serve(request, record)

    async def _serve(self, request: web.Request, record: Conversation) -> web.StreamResponse:
        limits = AudioSocketLimits.of(self._settings)
        websocket = AudioWebSocket(limits)
        await websocket.prepare(request)
        socket = AudioSocket(
            websocket,
            self._uplink,
            self._keys.conversation(record.id),
            sample_rate=record.sample_rate,
            limits=limits,
            errors=http.errors_of(request),
            trace=context_of(request),
        )
        self.speakers.add(socket)
        try:
            await socket.serve()
        finally:
            self.speakers.remove(socket)
        return websocket

    # --- tokens --------------------------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.Response:
        body = await self._body(request, NewToken)
        record = await self._record(request)
        if record.state == "ended":
            raise Ended
        token, expires_at = await self._tokens.mint(
            conversation=record.id,
            role=body.role,
            ttl_s=body.ttl_s or self._settings.token_ttl_s,
        )
        TOKENS.labels(body.role.value).inc()
        response = ViewerTokenResponse(token, expires_at, body.role, self._stream_url(record.id))
        return json_response(response, status=201, Cache_Control="no-store")

    # --- records, bodies and responses ---------------------------------------------------------

    async def _record(self, request: web.Request) -> Conversation:
        return await self._record_of(self._conversation(request))

    async def _record_of(self, keys: ConversationKeys) -> Conversation:
        """Read a record. If it is damaged, append a close, so that its owner replaces it."""
        try:
            return await conversations.read(self._client, keys)
        except Unreadable as error:
            if error.fields:
                await self._uplink.append(keys, Close("unreadable_record"))
            raise

    def _conversation(self, request: web.Request) -> ConversationKeys:
        """The keys of the conversation that the request's path names."""
        conversation = request.match_info["id"]
        if not text.is_name(conversation):
            raise Missing("no conversation has such an id")
        return self._keys.conversation(conversation)

    async def _attended(self, request: web.Request) -> Conversation:
        """Read the record of a conversation. Raises ``Problem`` if it has lacked an owner for too long."""
        keys = self._conversation(request)
        record, attendance = await asyncio.gather(
            self._record_of(keys), conversations.attendance(self._client, keys)
        )
        waits_s = attendance.waits_s or 0.0
        if record.state == "open" and waits_s > self._settings.owner_wait_s:
            detail = f"the conversation has waited for a worker for {waits_s:.0f} s; there is none with room"
            raise Problem(problems.NO_OWNER, detail, retry_after_s=_OWNER_RETRY_S)
        return record

    async def _body(self, request: web.Request, kind: type[T]) -> T:
        async with self._bodies.json(request) as body:
            try:
                return msgspec.json.decode(body or b"{}", type=kind)
            except msgspec.ValidationError as error:
                raise Problem(problems.INVALID_FIELD, reason(error)) from None
            except UNREADABLE as error:
                raise Problem(problems.MALFORMED_JSON, reason(error)) from None

    def _stream_url(self, conversation: str) -> str:
        return f"{self._settings.gateway_url.rstrip('/')}/v1/conversations/{conversation}/stream"

    def _response(self, record: Conversation, *, waits_s: int = 0) -> ConversationResponse:
        return ConversationResponse.of(record, self._stream_url(record.id), waits_s)


def _flag(request: web.Request, name: str) -> bool:
    value = request.query.get(name, "false").lower()
    if value not in ("true", "false", "1", "0", ""):
        raise Problem(problems.INVALID_FIELD, f"{name}: true or false", field=name)
    return value in ("true", "1", "")

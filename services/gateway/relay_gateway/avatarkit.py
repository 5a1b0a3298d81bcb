"""Endpoints of the vendor's official clients (AvatarKit). Their answers contain no secrets."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import WSMessage, WSMsgType, hdrs, web

from relay_auth.viewer_tokens import Grant, Role, ViewerTokens
from relay_gateway.accept import Acceptor
from relay_gateway.admission import ConcurrencyLimit
from relay_gateway.client_config import client_config
from relay_gateway.commands import BAD_MESSAGES
from relay_gateway.dialects.avatarkit_binary import AvatarKitBinary
from relay_gateway.dialects.avatarkit_json import AvatarKitJson
from relay_gateway.guests import GuestConversations
from relay_gateway.handshake import avatarkit_grant
from relay_gateway.session import SessionServices, SessionStart, ViewerSession
from relay_gateway.socket import Socket
from relay_gateway.upload import UploadMessages
from relay_gateway.websocket import BINARY, joined
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_runtime.probe import PATH, probe_response
from relay_settings.gateway import GatewaySettings
from relay_streams import conversations
from relay_streams.conversations import Conversation
from relay_streams.keys import ConversationKeys, KeySpace
from relay_wire import problems
from relay_wire.avatarkit import host
from relay_wire.close_codes import BAD_MESSAGE, of_problem
from relay_wire.frame import Codec
from relay_wire.messages import MessageError
from relay_wire.problems import Problem

_ANY_ORIGIN = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*"}
"""Clients' pages have other origins, and nothing in the answer is secret."""
_CONFIG = "/api/config"
_PREFIX = "/c/{token}"
"""The base of the URLs of a client with a token.

Clients are configured with this base, or with the socket's URL, from whose end they cut ``/ws/agent``: with a
query in that URL neither works (facts, corrections).
"""


class AvatarKitEndpoints:
    """``/ws/agent``, ``/ws/host`` and ``/api/config``, each also below ``/c/<token>``.

    Args:
        settings: The gateway's settings.
        keys: Names of keys.
        client: To Redis.
        acceptor: Accepts the upgrades.
        services: The parts that viewer sessions use.
        tokens: Verifies viewer tokens.
        limit: Limits the viewers of one conversation.
        ready: Whether the process accepts viewers.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        keys: KeySpace,
        client: RedisClient,
        *,
        acceptor: Acceptor,
        services: SessionServices,
        tokens: ViewerTokens,
        limit: ConcurrencyLimit,
        ready: Callable[[], bool],
    ) -> None:
        self._limit = limit
        self._ready = ready
        self._uploads = ConcurrencyLimit(
            settings.avatarkit_uploads, name="uploads", full=problems.GATEWAY_FULL
        )
        self._tokens = tokens
        self._settings = settings
        self._keys = keys
        self._client = client
        self._guests = GuestConversations(
            keys,
            client,
            services.uplink,
            agent=settings.avatarkit_agent,
            outbox_entries=settings.outbox_bound,
        )
        self._replay = services.replay
        self._acceptor = acceptor
        self._services = services

    def add_to(self, app: web.Application) -> None:
        """Add the endpoints to the gateway's application."""
        app.router.add_routes(self._routes())
        app.on_response_prepare.append(_open_config)

    def _routes(self) -> list[web.RouteDef]:
        return [
            *(
                web.get(f"{base}{path}", handler)
                for base in ("", _PREFIX)
                for path, handler in (
                    ("/ws/agent", self._agent),
                    ("/ws/host", self._host),
                    (_CONFIG, self._config),
                )
            ),
            web.get(f"{_PREFIX}{PATH}", self._probe),
        ]

    async def _probe(self, _request: web.Request) -> web.StreamResponse:
        return probe_response(self._ready())

    async def _config(self, request: web.Request) -> web.StreamResponse:
        """The configuration of a guest, or with a token that of its conversation."""
        avatar_id, sample_rate = self._settings.avatar_id, self._settings.avatarkit_sample_rate
        if _has_token(request) and (grant := await self._grant(request)):
            record = await conversations.read(self._client, self._keys.conversation(grant.conversation))
            avatar_id, sample_rate = record.avatar_id, record.sample_rate
        body = client_config(self._settings, avatar_id=avatar_id, sample_rate=sample_rate)
        return web.json_response(body)

    async def _agent(self, request: web.Request) -> web.StreamResponse:
        self._acceptor.check(request)
        async with self._conversation(await self._grant(request), host.Start()) as (keys, role):
            start_point = await self._replay.start_point(keys, "turn")
            if not _has_token(
                request
            ):  # Else the client knows its conversation's rate, by its configuration.
                _check_rate(start_point.record, self._settings.avatarkit_sample_rate)
            dialect = AvatarKitJson(
                start_point.record, microphone_rate=self._settings.avatarkit_microphone_rate
            )
            session = ViewerSession(self._services, SessionStart(keys, start_point, role, dialect))
            return await self._acceptor.accept(request, session.run, notices_close=_notices_close(request))

    async def _host(self, request: web.Request) -> web.StreamResponse:
        self._acceptor.check(request)
        serve = partial(self._serve_host, await self._grant(request))
        self._uploads.acquire()
        try:
            return await self._acceptor.accept(request, serve, uploads=True)
        finally:
            self._uploads.release()

    async def _serve_host(self, grant: Grant | None, socket: Socket, messages: UploadMessages) -> None:
        try:
            start = await self._host_start(messages)
            if start is not None:
                await self._run_host(grant, start, socket, messages)
        except MessageError as error:
            BAD_MESSAGES.inc()
            _send_error(socket, str(error))
            socket.close(BAD_MESSAGE, str(error))
        except Problem as problem:
            _send_error(socket, str(problem))
            socket.close(of_problem(problem.kind))
        except StoreError:
            _send_error(socket, "the conversation cannot be read or created now")
            raise

    async def _host_start(self, messages: UploadMessages) -> host.Start | None:
        """The first message of a client of the binary protocol; None when the client has left.

        Raises:
            MessageError: The first message is not a start, or does not come in time.
        """
        try:
            message = await messages.receive(self._settings.avatarkit_start_s)
        except TimeoutError:
            raise MessageError(f"no start within {self._settings.avatarkit_start_s:g} s") from None
        if message is None:
            return None
        if message.type is not WSMsgType.TEXT:
            raise MessageError("the first message is a start, as text")
        return host.decode_start(message.data)

    async def _run_host(
        self, grant: Grant | None, start: host.Start, socket: Socket, messages: UploadMessages
    ) -> None:
        async with self._conversation(grant, start) as (keys, role):
            start_point = await self._replay.start_point(keys, "turn")
            _check_start(start, start_point.record)
            dialect = AvatarKitBinary(start_point.record)
            session = ViewerSession(self._services, SessionStart(keys, start_point, role, dialect))
            await session.run(socket, _Unfinished(messages, dialect, self._settings.avatarkit_silence_s))

    async def _grant(self, request: web.Request) -> Grant | None:
        settings = self._settings
        return await avatarkit_grant(
            request, self._tokens, in_url=settings.avatarkit_url_token, guests=settings.avatarkit_guests
        )

    @asynccontextmanager
    async def _conversation(
        self, grant: Grant | None, start: host.Start
    ) -> AsyncIterator[tuple[ConversationKeys, Role]]:
        """The conversation of the token, counted against its limit; or a guest's own, until the block ends.

        Raises:
            MessageError: The guest requests an avatar that is not for guests.
        """
        if grant is not None:
            self._limit.acquire(grant.conversation)
            try:
                yield self._keys.conversation(grant.conversation), grant.role
            finally:
                self._limit.release(grant.conversation)
            return
        avatar_id = start.avatar_id or self._settings.avatar_id
        if avatar_id not in (self._settings.avatar_id, *self._settings.avatarkit_avatars):
            raise MessageError("avatar_id: this avatar is not for guests")
        async with self._guests.conversation(
            avatar_id=avatar_id,
            sample_rate=start.sample_rate or self._settings.avatarkit_sample_rate,
        ) as keys:
            yield keys, Role.SPEAK


class _Unfinished:
    """The messages of a client that must send on until its turn is whole.

    Args:
        messages: The messages.
        dialect: Decides when the turn is whole.
        silence_s: Longest time without a message until then.
    """

    def __init__(self, messages: UploadMessages, dialect: AvatarKitBinary, silence_s: float) -> None:
        self._messages = messages
        self._dialect = dialect
        self._silence_s = silence_s

    async def receive(self) -> WSMessage | None:
        """The next message, None when the socket has ended. Safe to cancel.

        Raises:
            MessageError: None came in time.
        """
        try:
            return await self._messages.receive(None if self._dialect.input_complete else self._silence_s)
        except TimeoutError:
            raise MessageError(
                f"nothing was sent for {self._silence_s:g} s, and the turn has no end"
            ) from None


def _send_error(socket: Socket, text: str) -> None:
    socket.write(joined(BINARY, [host.error(text)]))


def _check_rate(record: Conversation, rate: int) -> None:
    if not _plays(record, rate):
        text = f"clients here play {rate} Hz, this is {record.sample_rate} Hz"
        raise Problem(problems.UNSUPPORTED_AUDIO, text)


def _check_start(start: host.Start, record: Conversation) -> None:
    if start.avatar_id not in ("", record.avatar_id):
        raise MessageError("avatar_id: the conversation has another")
    if not _plays(record, start.sample_rate or record.sample_rate):
        raise MessageError(f"sample_rate: this is {record.sample_rate} Hz")


def _plays(record: Conversation, rate: int) -> bool:
    return (record.sample_rate, record.codec) == (rate, Codec.PCM_S16LE)


def _has_token(request: web.Request) -> bool:
    """Whether the token is a part of the path."""
    return "token" in request.match_info


def _notices_close(request: web.Request) -> bool:
    """Whether the client's app learns of a close.

    OkHttp reports a server's close by a callback that no generation of the Android app has; the app learns
    of a connection that ends without one (facts, corrections).
    """
    return not request.headers.get(hdrs.USER_AGENT, "").startswith("okhttp/")


async def _open_config(request: web.Request, response: web.StreamResponse) -> None:
    """Let pages of any origin read the configuration, and why it is refused."""
    if request.path.endswith(_CONFIG):
        response.headers.update(_ANY_ORIGIN)

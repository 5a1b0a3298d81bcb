"""Session tokens of the vendor, for Direct Mode clients that connect to Motion Server themselves (facts 7).

Control requests them with the vendor's API key, which never leaves the process. The caller must present an
API key with the scope ``tokens``, or a viewer token with the role ``speak`` of a conversation that has not
ended: each session token can open a billed session.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import structlog
from aiohttp import web

from relay_auth.api_keys import Scope
from relay_auth.viewer_tokens import Grant, Role, TokenError, ViewerTokens
from relay_control.access import REFUSED, Access, presented
from relay_control.operation import Operation
from relay_control.responses import SessionTokenResponse, json_response
from relay_redis.client import RedisClient
from relay_runtime.token_bucket import TokenBuckets
from relay_settings.control import ControlSettings
from relay_streams import conversations
from relay_streams.errors import Ended, Missing
from relay_streams.keys import KeySpace
from relay_telemetry.counter import counter
from relay_wire import problems, text
from relay_wire.decoding import UNREADABLE
from relay_wire.problems import Problem

REQUESTS = counter(
    "relay_control_session_tokens_total",
    "Session tokens requested from the vendor, by outcome.",
    outcome=("made", "refused", "unreachable"),
)
_LARGEST_ANSWER_BYTES = 64 * 1024
_JWT_PARTS = 3
_MINUTE_S = 60

log = structlog.get_logger(__name__)


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    """The vendor's answer, as far as it is read (facts 2.1)."""

    session_token: str = ""
    errors: list[Any] = []


class SessionTokens:
    """Serves session tokens. Created by ``session_tokens``.

    Args:
        settings: Control's settings.
        access: Checks API keys and their rates.
        tokens: Checks viewer tokens.
        client: The Redis client.
        http: The HTTP session for requests to the vendor.
    """

    def __init__(
        self,
        settings: ControlSettings,
        access: Access,
        tokens: ViewerTokens,
        client: RedisClient,
        http: aiohttp.ClientSession,
    ) -> None:
        self._settings = settings
        self._client = client
        self._keys = KeySpace.of(settings)
        self._rates = TokenBuckets(
            settings.session_tokens_per_minute / _MINUTE_S, settings.session_tokens_burst
        )
        self._access = access
        self._tokens = tokens
        self._http = http
        base = settings.console_endpoint or _console_url(settings.region)
        self._url = f"{base.rstrip('/')}/session-tokens"

    def operations(self) -> list[Operation]:
        """The operation, at both paths that the vendor's demo clients use."""
        return [
            Operation(
                "POST", path, self._make, None, "Get a session token of the vendor",
                200, SessionTokenResponse,
                problems=(
                    problems.VENDOR_FAILED, problems.UNKNOWN_CONVERSATION, problems.CONVERSATION_ENDED,
                ),
                description="For Direct Mode clients: with a key of the scope `tokens`, or a viewer token "
                "that may speak, of a conversation that has not ended.",
            )
            for path in ("/api/session-token", "/session-token")
        ]  # fmt: skip

    async def _make(self, request: web.Request) -> web.Response:
        await self._admit(request)
        expires_at = int(time.time()) + self._settings.session_token_ttl_s
        token = await self._request_token(expires_at)
        REQUESTS.labels("made").inc()
        response = SessionTokenResponse(
            session_token=token,
            expired_at=datetime.fromtimestamp(expires_at, UTC).isoformat().replace("+00:00", "Z"),
            avatar_id=self._settings.avatar_id,
            region=self._settings.region,
            app_id=self._settings.app_id,
        )
        return json_response(response, Cache_Control="no-store")

    async def _admit(self, request: web.Request) -> None:
        credential = presented(request)
        if credential.count(".") != _JWT_PARTS - 1:
            self._access.admit(request, Scope.TOKENS)
            return
        try:
            grant = await self._tokens.verify(credential)
        except TokenError as error:
            raise Problem(problems.UNAUTHORIZED, str(error)) from None
        await self._admit_viewer(grant)

    async def _admit_viewer(self, grant: Grant) -> None:
        if grant.role is not Role.SPEAK and not self._settings.session_tokens_for_listeners:
            REFUSED.labels("scope").inc()
            raise Problem(problems.FORBIDDEN, "this needs a viewer token with the role speak")
        missing_s = self._rates.consume(grant.conversation, asyncio.get_running_loop().time())
        if missing_s:
            REFUSED.labels("rate").inc()
            detail = "too many session tokens for this conversation"
            raise Problem(problems.RATE_LIMITED, detail, retry_after_s=math.ceil(missing_s))
        if not text.is_name(grant.conversation):
            raise Missing("no conversation has such an id")
        record = await conversations.read(self._client, self._keys.conversation(grant.conversation))
        if record.state != "open":
            raise Ended("the conversation has ended")

    async def _request_token(self, expires_at: int) -> str:
        """Request a token from the vendor. The cause of a failure is logged, and not part of the problem."""
        headers = {"X-Api-Key": self._settings.vendor_key}
        try:
            async with self._http.post(
                self._url, json={"expireAt": expires_at}, headers=headers, allow_redirects=False
            ) as response:
                body = await response.content.read(_LARGEST_ANSWER_BYTES)
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _failed("unreachable", type(error).__name__) from None
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except UNREADABLE:
            raise _failed("refused", f"status {status}, without JSON") from None
        if status != web.HTTPOk.status_code or answer.errors or not answer.session_token:
            raise _failed("refused", f"status {status}")
        return answer.session_token


@asynccontextmanager
async def session_tokens(
    settings: ControlSettings, access: Access, tokens: ViewerTokens, client: RedisClient
) -> AsyncIterator[SessionTokens]:
    """Serve session tokens, with an HTTP session of their own, while the block runs."""
    timeout = aiohttp.ClientTimeout(total=settings.vendor_timeout_s)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        yield SessionTokens(settings, access, tokens, client, http)


def _console_url(region: str) -> str:
    """The URL of the vendor's Console API in a region (facts 1.3)."""
    domain = "spatialwalk.top" if region.startswith("cn-") else "spatius.ai"
    return f"https://console.{region}.{domain}/v1/console"


def _failed(outcome: str, reason: str) -> Problem:
    REQUESTS.labels(outcome).inc()
    log.warning("session token request failed", reason=reason)
    return Problem(problems.VENDOR_FAILED, "try again later", error="session_token_request_failed")

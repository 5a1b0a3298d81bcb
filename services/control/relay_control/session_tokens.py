"""Session tokens: the vendor's, for Direct Mode clients that talk to Motion Server themselves (facts 7).

The vendor's API key makes them, and never leaves here. Whoever asks shows an API key with the scope
``tokens``, or a viewer token that may speak, of a conversation that has not ended: what one is worth is a
billed session.
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

MADE = counter(
    "relay_control_session_tokens_total",
    "Session tokens of the vendor's asked for.",
    outcome=("made", "refused", "unreachable"),
)
_LARGEST_ANSWER_BYTES = 64 * 1024
_JWT_PARTS = 3
_MINUTE_S = 60

log = structlog.get_logger(__name__)


class _Made(msgspec.Struct, frozen=True, rename="camel"):
    """What the vendor answers; its other fields are not ours (facts 2.1)."""

    session_token: str = ""
    errors: list[Any] = []


class SessionTokens:
    """Makes session tokens. Made by ``session_tokens``.

    Args:
        settings: Control's.
        access: Checks API keys, and counts requests.
        tokens: Checks viewer tokens.
        client: To Redis.
        http: To the vendor.
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
        base = settings.console_endpoint or _composed(settings.region)
        self._url = f"{base.rstrip('/')}/session-tokens"

    def operations(self) -> list[Operation]:
        """The two paths that the vendor's demo clients know."""
        return [
            Operation(
                "POST", path, self._make, None, "Make a session token of the vendor's",
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
        token = await self._ask(expires_at)
        MADE.labels("made").inc()
        made = SessionTokenResponse(
            session_token=token,
            expired_at=datetime.fromtimestamp(expires_at, UTC).isoformat().replace("+00:00", "Z"),
            avatar_id=self._settings.avatar_id,
            region=self._settings.region,
            app_id=self._settings.app_id,
        )
        return json_response(made, Cache_Control="no-store")

    async def _admit(self, request: web.Request) -> None:
        shown = presented(request)
        if shown.count(".") != _JWT_PARTS - 1:
            self._access.admit(request, Scope.TOKENS)
            return
        try:
            grant = await self._tokens.verify(shown)
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
            raise Ended("the conversation is over")

    async def _ask(self, expires_at: int) -> str:
        """Ask the vendor. What it says is logged; the caller learns that it failed."""
        headers = {"X-Api-Key": self._settings.vendor_key}
        try:
            async with self._http.post(
                self._url, json={"expireAt": expires_at}, headers=headers, allow_redirects=False
            ) as response:
                said = await response.content.read(_LARGEST_ANSWER_BYTES)
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _failed("unreachable", type(error).__name__) from None
        try:
            made = msgspec.json.decode(said, type=_Made)
        except UNREADABLE:
            raise _failed("refused", f"status {status}, and no JSON") from None
        if status != web.HTTPOk.status_code or made.errors or not made.session_token:
            raise _failed("refused", f"status {status}")
        return made.session_token


@asynccontextmanager
async def session_tokens(
    settings: ControlSettings, access: Access, tokens: ViewerTokens, client: RedisClient
) -> AsyncIterator[SessionTokens]:
    """Session tokens, with a connection to the vendor, while the block runs."""
    timeout = aiohttp.ClientTimeout(total=settings.vendor_timeout_s)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        yield SessionTokens(settings, access, tokens, client, http)


def _composed(region: str) -> str:
    """The vendor's console of a region (facts 1.3)."""
    domain = "spatialwalk.top" if region.startswith("cn-") else "spatius.ai"
    return f"https://console.{region}.{domain}/v1/console"


def _failed(outcome: str, why: str) -> Problem:
    MADE.labels(outcome).inc()
    log.warning("the vendor gave no session token", why=why)
    return Problem(problems.VENDOR_FAILED, "try again later", error="session_token_request_failed")

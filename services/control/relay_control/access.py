"""Access: API keys of requests, their scopes and their rate limits."""

import asyncio
import math

from aiohttp import web

from relay_auth.api_keys import ApiKey, ApiKeys, KeyEntryError, Scope
from relay_control.operation import Handler
from relay_runtime.http import bearer
from relay_runtime.token_bucket import TokenBuckets
from relay_settings.base import SettingsError, reveal
from relay_settings.control import ControlSettings
from relay_telemetry.counter import counter
from relay_wire import problems
from relay_wire.problems import Problem

REFUSED = counter(
    "relay_control_refused_total",
    "Requests refused by their API key.",
    reason=("unauthorized", "scope", "rate"),
)

KEY = web.RequestKey("key", str)
"""The id of the API key of a request, set before a guarded handler runs."""
ADMIN = web.RequestKey("admin", bool)
"""Whether that key may do everything."""
_INSTRUCTION = "send an API key as 'Authorization: Bearer <key>' or as X-API-Key"


class Access:
    """Admits requests by their API key.

    Args:
        settings: Control's settings.

    Raises:
        SettingsError: ``RELAY_API_KEYS`` is malformed.
    """

    def __init__(self, settings: ControlSettings) -> None:
        try:
            self._keys = ApiKeys(reveal(entry) for entry in settings.api_keys)
        except KeyEntryError as error:
            raise SettingsError(f"RELAY_API_KEYS: {error}") from None
        self._rates = TokenBuckets(settings.key_requests_per_s, settings.key_requests_burst)

    def guard(self, handler: Handler, scope: Scope) -> Handler:
        """Wrap a handler: it runs only for API keys with this scope."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            key = self.admit(request, scope)
            request[KEY], request[ADMIN] = key.id, key.allows(Scope.ADMIN)
            return await handler(request)

        return guarded

    def admit(self, request: web.Request, scope: Scope) -> ApiKey:
        """Check the API key of a request and return it.

        Raises:
            Problem: The request has no known key, or the key lacks the scope or is over its rate.
        """
        key = self._keys.find(presented(request))
        if key is None:
            REFUSED.labels("unauthorized").inc()
            raise Problem(problems.UNAUTHORIZED, _INSTRUCTION)
        self.pace(key.id)
        if not key.allows(scope):
            REFUSED.labels("scope").inc()
            raise Problem(problems.FORBIDDEN, f"this needs a key with the scope {scope}", scope=scope.value)
        return key

    def pace(self, who: str) -> None:
        """Count a request.

        Raises:
            Problem: The key is over its rate.
        """
        missing_s = self._rates.consume(who, asyncio.get_running_loop().time())
        if missing_s:
            REFUSED.labels("rate").inc()
            raise Problem(
                problems.RATE_LIMITED,
                "too many requests with this key",
                retry_after_s=max(1, math.ceil(missing_s)),
            )


def presented(request: web.Request) -> str:
    """The credential that a request presents: an API key or a token; empty without one."""
    token = bearer(request)
    return request.headers.get("X-API-Key", "") if token is None else token

"""The Console API and the bootstrap host: session tokens and regions (facts 1.4.1, 1.3, 2.1)."""

import asyncio
import json
import re
import secrets
import time
from typing import Any

from aiohttp import web
from prometheus_client import Counter

from relay_simulator.faults import Fault, Faults

TOKENS = Counter("relay_simulator_tokens_total", "Session tokens issued.")

_LONGEST_TOKEN_S = 86_400
_KEEP_EXPIRED_S = 3600
"""How long an expired token is kept, and so distinguished from an unknown one."""
_HANG_S = 60.0
_INT64 = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class Console:
    """Issues session tokens and stores them.

    Args:
        faults: The armed faults.
        accepted_key: The only API key accepted; empty accepts any.
    """

    def __init__(self, faults: Faults, accepted_key: str) -> None:
        self._faults = faults
        self._accepted_key = accepted_key
        self._tokens: dict[str, float] = {}

    def routes(self) -> list[web.RouteDef]:
        """The routes of both hosts."""
        return [
            web.post("/v1/console/session-tokens", self._make_token),
            web.post("/bootstrap", self._bootstrap),
        ]

    def expires_at(self, token: str) -> float | None:
        """When a token expires or expired, in seconds since the epoch; None for an unknown token."""
        return self._tokens.get(token)

    async def _make_token(self, request: web.Request) -> web.Response:
        fault = self._faults.consume("token")
        if fault is not None:
            return await _token_fault(fault)
        key = request.headers.get("X-Api-Key", "")
        if not key or (self._accepted_key and key != self._accepted_key):
            return _errors(401, "Unauthorized", "invalid API key")
        expire_at = _expire_at(await request.read())
        if expire_at is None:
            return _errors(400, "Bad Request", "expireAt is missing, or is no time in seconds")
        now = time.time()
        if not now < expire_at < now + _LONGEST_TOKEN_S:
            return _errors(400, "Bad Request", "expireAt must be within 24 hours from now")
        token = f"simulated-{secrets.token_urlsafe(24)}"
        self._tokens = {
            known: until for known, until in self._tokens.items() if until > now - _KEEP_EXPIRED_S
        }
        self._tokens[token] = expire_at
        TOKENS.inc()
        return web.json_response({"sessionToken": token})

    async def _bootstrap(self, _request: web.Request) -> web.Response:
        fault = self._faults.consume("bootstrap")
        match fault.fault if fault else None:
            case "http_500":
                return web.json_response({}, status=500)
            case "hang":
                await asyncio.sleep(_HANG_S)
            case "no_region":
                return web.json_response({"time_sync": {}})
        return web.json_response(
            {"region": {"current": "us-west", "candidates": ["us-west"]}, "time_sync": {}}
        )


def _expire_at(body: bytes) -> int | None:
    """The expiry in a request, as protobuf's JSON allows: either name, an int64 as a number or a string."""
    try:
        fields: Any = json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    if not isinstance(fields, dict):
        return None
    value = fields.get("expireAt", fields.get("expire_at"))
    if isinstance(value, str) and _INT64.fullmatch(value):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


async def _token_fault(fault: Fault) -> web.Response:
    match fault.fault:
        case "errors_in_ok":
            return web.json_response(
                {"errors": [{"status": 403, "title": "Forbidden", "detail": "app is blocked"}]}
            )
        case "no_token":
            return web.json_response({})
        case "html":
            return web.Response(text="<html>maintenance</html>", content_type="text/html")
        case "hang":
            await asyncio.sleep(_HANG_S)
            return web.json_response({})
        case name:
            status = int(name.removeprefix("http_"))
            return _errors(status, "Simulated", f"simulated failure {status}")


def _errors(status: int, title: str, detail: str) -> web.Response:
    return web.json_response(
        {"errors": [{"status": status, "title": title, "detail": detail}]}, status=status
    )

"""Idempotency keys: the header under which a request may be repeated."""

import msgspec
from aiohttp import web

from relay_wire import audio_socket, problems
from relay_wire.problems import Problem

IDEMPOTENCY_KEY = "Idempotency-Key"


def idempotency_key(request: web.Request) -> str:
    """The key of a request; empty without one.

    Raises:
        Problem: The key is malformed.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return ""
    try:
        return msgspec.convert(key, audio_socket.Key)
    except msgspec.ValidationError:
        detail = f"{IDEMPOTENCY_KEY}: 1 to 128 visible ASCII characters"
        raise Problem(problems.INVALID_FIELD, detail, field=IDEMPOTENCY_KEY) from None

"""Viewer tokens: short-lived JWTs that let one client watch one conversation."""

import time
from enum import StrEnum
from typing import NamedTuple

import jwt

AUDIENCE = "avatar-relay"
_ALGORITHM = "HS256"
_LEEWAY_S = 5
"""Clocks of control and gateways may differ by so much."""


class Role(StrEnum):
    """What a viewer may do."""

    LISTEN = "listen"
    """Receive frames, report playback."""
    SPEAK = "speak"
    """Also interrupt, type and talk."""


class TokenError(ValueError):
    """Raised when a token is not valid. The text says why and never contains the token."""


class Grant(NamedTuple):
    """What a valid token allows."""

    conversation: str
    role: Role
    expires_at: int
    """Seconds since the epoch."""


def mint(key: str, *, conversation: str, role: Role, ttl_s: int) -> tuple[str, int]:
    """Make a token for one conversation.

    Returns:
        The token, and when it expires in seconds since the epoch.
    """
    now = int(time.time())
    claims = {"aud": AUDIENCE, "iat": now, "exp": now + ttl_s, "cid": conversation, "role": str(role)}
    return jwt.encode(claims, key, algorithm=_ALGORITHM), now + ttl_s


def verify(key: str, token: str) -> Grant:
    """Check a token's signature, audience and time.

    Raises:
        TokenError: It is expired, forged, for someone else, or not a token.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=AUDIENCE,
            leeway=_LEEWAY_S,
            options={"require": ["aud", "exp", "iat", "cid", "role"]},
        )
        return Grant(str(claims["cid"]), Role(claims["role"]), int(claims["exp"]))
    except (jwt.InvalidTokenError, ValueError) as error:
        raise TokenError(f"the token is not valid: {error}") from None

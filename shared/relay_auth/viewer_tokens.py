"""Viewer tokens: short-lived JWTs that let one client watch one conversation."""

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import jwt

from relay_auth.key_ring import KeyRing
from relay_auth.token_keys import UNNAMED, BadKey, TokenKey
from relay_settings.base import SettingsError
from relay_settings.tokens import TokenSettings

AUDIENCE = "avatar-relay"
_REQUIRED = ["aud", "exp", "iat", "cid", "role"]
_INVALID = (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError)
"""What the library raises for tokens that are none: also for text without UTF-8, and JSON without end."""


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


class ViewerTokens:
    """Makes and checks viewer tokens with the keys that are valid now."""

    def __init__(self, settings: TokenSettings) -> None:
        self._ring = KeyRing(settings.token_key, settings.token_keys_dir)
        self._leeway_s = settings.token_leeway_s

    async def open(self) -> None:
        """Read the keys for the first time.

        Raises:
            SettingsError: They cannot be read, or there are none.
        """
        try:
            await self._ring.open()
        except BadKey as error:
            raise SettingsError(f"RELAY_TOKEN_KEYS_DIR: {error}") from None

    async def mint(self, *, conversation: str, role: Role, ttl_s: int) -> tuple[str, int]:
        """Make a token; as ``mint``.

        Raises:
            BadKey: No key here can sign.
        """
        key = (await self._ring.keys()).current
        if key is None:
            raise BadKey("no key here can sign: they are public ones")
        return mint(key, conversation=conversation, role=role, ttl_s=ttl_s)

    async def verify(self, token: str) -> Grant:
        """Check a token; as ``verify``. Safe to cancel.

        Raises:
            TokenError: It is not valid.
        """
        kid = _kid(token)
        keys = await self._ring.keys(kid)
        return _grant(keys.by_kid.get(kid), token, leeway_s=self._leeway_s)


def mint(key: TokenKey, *, conversation: str, role: Role, ttl_s: int) -> tuple[str, int]:
    """Make a token for one conversation.

    Returns:
        The token, and when it expires in seconds since the epoch.
    """
    now = int(time.time())
    claims = {"aud": AUDIENCE, "iat": now, "exp": now + ttl_s, "cid": conversation, "role": str(role)}
    headers = {"kid": key.kid} if key.kid else None
    return jwt.encode(claims, _signing(key), algorithm=key.algorithm, headers=headers), now + ttl_s


def verify(keys: Mapping[str, TokenKey], token: str, *, leeway_s: float = 0) -> Grant:
    """Check a token: the signature, with the key its ``kid`` names and that key's algorithm; audience; time.

    Raises:
        TokenError: It is expired, not valid yet, forged, for someone else, or not a token.
    """
    return _grant(keys.get(_kid(token)), token, leeway_s=leeway_s)


def _grant(key: TokenKey | None, token: str, *, leeway_s: float) -> Grant:
    if key is None:
        raise TokenError("the token is not valid: it names no key that is known here")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.verifying,
            algorithms=[key.algorithm],
            audience=AUDIENCE,
            leeway=leeway_s,
            options={"require": _REQUIRED},
        )
        return Grant(str(claims["cid"]), Role(claims["role"]), int(claims["exp"]))
    except _INVALID as error:
        raise TokenError(f"the token is not valid: {error}") from None


def _signing(key: TokenKey) -> Any:
    if key.signing is None:
        raise BadKey(f"{key.kid} is a public key, it cannot sign")
    return key.signing


def _kid(token: str) -> str:
    try:
        return str(jwt.get_unverified_header(token).get("kid", UNNAMED))
    except _INVALID as error:
        raise TokenError(f"the token is not valid: {error}") from None

"""Viewer tokens: short-lived JWTs with which one client receives one conversation."""

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn

import jwt

from relay_auth.key_ring import KeyRing
from relay_auth.token_keys import UNNAMED, BadKey, TokenKey
from relay_settings.base import SettingsError
from relay_settings.tokens import TokenSettings

AUDIENCE = "avatar-relay"
_GRANTED_AT = "orig_iat"
"""The claim of a renewed token that has the first one's ``iat``."""
_REQUIRED = ["aud", "exp", "iat", "cid", "role"]
_INVALID = (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError, TypeError)
"""Exceptions of the library for malformed tokens, also for text that is not UTF-8 and for deep JSON."""


_KEY_SETTINGS = "RELAY_TOKEN_SECRET or RELAY_TOKEN_KEYS_DIR"
_REASONS = {
    jwt.ExpiredSignatureError: ("it has expired", "RELAY_TOKEN_TTL_S"),
    jwt.ImmatureSignatureError: ("its time has not come", "RELAY_TOKEN_LEEWAY_S"),
    jwt.InvalidAudienceError: ("it is for another audience", ""),
    jwt.InvalidAlgorithmError: ("its algorithm is not its key's", _KEY_SETTINGS),
    jwt.InvalidSignatureError: ("its signature is not of the key it names", _KEY_SETTINGS),
}
"""The defect of a token, and the setting by which an operator can correct it."""


class Role(StrEnum):
    """The permissions of a viewer."""

    LISTEN = "listen"
    """Receive frames, report playback."""
    SPEAK = "speak"
    """Also interrupt, type and talk."""


class TokenError(ValueError):
    """Raised when a token is not valid. The text has the reason and never the token.

    Args:
        text: The reason.
        setting: By which an operator can correct it, for the log; empty: none.
    """

    def __init__(self, text: str, *, setting: str = "") -> None:
        super().__init__(text)
        self.setting = setting


class Grant(NamedTuple):
    """The content of a valid token."""

    conversation: str
    role: Role
    expires_at: int
    """Seconds since the epoch."""
    issued_at: int = 0
    """The time of this token."""
    granted_at: int = 0
    """The time of the first token, which this one renews or is."""
    key: TokenKey | None = None
    """The key that signed it."""


class ViewerTokens:
    """Signs and verifies viewer tokens with the keys that are valid now."""

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

    async def follow(self) -> NoReturn:
        """Read changed keys, for ``readiness``; until cancelled."""
        await self._ring.follow()

    def readiness(self) -> str:
        """Why no token can be accepted; empty when tokens can."""
        return self._ring.readiness()

    async def mint(self, *, conversation: str, role: Role, ttl_s: int) -> tuple[str, int]:
        """Sign a token; as ``mint``.

        Raises:
            BadKey: No key here can sign.
        """
        key = (await self._ring.keys()).current
        if key is None:
            raise BadKey("no key here can sign: they are public ones")
        return mint(key, conversation=conversation, role=role, ttl_s=ttl_s)

    async def renew(self, grant: Grant, *, max_life_s: float) -> tuple[str, Grant]:
        """Sign a token with the same grant for as long again. Safe to cancel.

        Args:
            grant: Of the token to be renewed; it may have expired by now.
            max_life_s: How long after the first token the new one may expire.

        Returns:
            The token, and its grant.

        Raises:
            TokenError: The old token's key is gone, no key here can sign, or ``max_life_s`` is over.
        """
        kid = grant.key.kid if grant.key else UNNAMED
        keys = await self._ring.keys(kid)
        known = keys.by_kid.get(kid)
        if known is None or grant.key is None or known.verifying != grant.key.verifying:
            raise TokenError("its key is not known here any more")
        if keys.current is None or keys.current.signing is None:
            raise TokenError("no key here can sign: they are public ones")
        now = int(time.time())
        ttl_s = min(grant.expires_at - grant.issued_at, grant.granted_at + int(max_life_s) - now)
        if now + ttl_s <= grant.expires_at:
            raise TokenError("its lifetime has ended")
        token, _ = mint(
            keys.current,
            conversation=grant.conversation,
            role=grant.role,
            ttl_s=ttl_s,
            granted_at=grant.granted_at,
        )
        return token, grant._replace(expires_at=now + ttl_s, issued_at=now, key=keys.current)

    async def verify(self, token: str) -> Grant:
        """Verify a token; as the function ``verify``. Safe to cancel.

        Raises:
            TokenError: It is not valid.
        """
        kid = _kid(token)
        keys = await self._ring.keys(kid)
        return _grant(keys.by_kid.get(kid), token, leeway_s=self._leeway_s)


def mint(
    key: TokenKey, *, conversation: str, role: Role, ttl_s: int, granted_at: int | None = None
) -> tuple[str, int]:
    """Sign a token for one conversation.

    Args:
        key: Signs it.
        conversation: The conversation.
        role: The viewer's role.
        ttl_s: How long it is valid.
        granted_at: The time of the first token, which this one renews; None: it is the first.

    Returns:
        The token, and when it expires in seconds since the epoch.
    """
    now = int(time.time())
    claims = {"aud": AUDIENCE, "iat": now, "exp": now + ttl_s, "cid": conversation, "role": str(role)}
    if granted_at is not None:
        claims[_GRANTED_AT] = granted_at
    headers = {"kid": key.kid} if key.kid else None
    return jwt.encode(claims, _signing(key), algorithm=key.algorithm, headers=headers), now + ttl_s


def verify(keys: Mapping[str, TokenKey], token: str, *, leeway_s: float = 0) -> Grant:
    """Verify a token: signature, with the key of its ``kid`` and that key's algorithm; audience; time.

    Raises:
        TokenError: It is expired, not valid yet, forged, for another audience, or not a token.
    """
    return _grant(keys.get(_kid(token)), token, leeway_s=leeway_s)


def _grant(key: TokenKey | None, token: str, *, leeway_s: float) -> Grant:
    if key is None:
        text = "the token is not valid: it names no key that is known here"
        raise TokenError(text, setting=_KEY_SETTINGS)
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.verifying,
            algorithms=[key.algorithm],
            audience=AUDIENCE,
            leeway=leeway_s,
            options={"require": _REQUIRED},
        )
        issued_at = int(claims["iat"])
        return Grant(
            conversation=str(claims["cid"]),
            role=Role(claims["role"]),
            expires_at=int(claims["exp"]),
            issued_at=issued_at,
            granted_at=int(claims.get(_GRANTED_AT, issued_at)),
            key=key,
        )
    except _INVALID as error:
        raise _refusal(error) from None


def _signing(key: TokenKey) -> Any:
    if key.signing is None:
        raise BadKey(f"{key.kid} is a public key, it cannot sign")
    return key.signing


def _kid(token: str) -> str:
    try:
        return str(jwt.get_unverified_header(token).get("kid", UNNAMED))
    except _INVALID as error:
        raise _refusal(error) from None


def _refusal(error: Exception) -> TokenError:
    """A refusal of the library, for the client: the defect of the token, without details of the parser."""
    why, setting = "it cannot be read", ""
    if isinstance(error, jwt.MissingRequiredClaimError):
        why = f"it has no {error.claim}"
    for kind, known in _REASONS.items():
        if isinstance(error, kind):
            why, setting = known
            break
    return TokenError(f"the token is not valid: {why}", setting=setting)

"""Egress: the destination of a session's motion, its socket or a room (facts 6.1).

Reads and checks the configuration, as far as that needs no room. A join token can be decoded without its
secret; the room's server verifies its signature.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import SplitResult, urlsplit

import jwt

INVALID_ARGUMENT, UNAVAILABLE, UNAUTHENTICATED = 3, 14, 16
"""Codes of the handshake's errors, as gRPC has them."""

AGENT_IDENTITY = "livekit_agent_identity"
"""The participant attribute with the identity that receives playback calls (facts 6.3)."""

_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_MINTED_TOKEN_S = 3600


class EgressType(StrEnum):
    """The destinations of motion; the numbers of the protocol are the positions here."""

    WEBSOCKET = "websocket"
    LIVEKIT = "livekit"
    AGORA = "agora"


class Refusal(Exception):
    """Raised when a session with such an egress is not confirmed. The text has no secret.

    Args:
        code: Of the ServerError.
        text: Of the ServerError.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


UNAUTHORIZED = "unauthorized"
NO_CONNECTION = "failed to create egress connection"


@dataclass(frozen=True, slots=True)
class Egress:
    """A session's egress. Neither its repr nor its summary has a secret."""

    type: EgressType = EgressType.WEBSOCKET
    room: str = ""
    """A LiveKit room, or an Agora channel."""
    publisher_id: str = ""
    url: str = field(default="", repr=False)
    idle_timeout_s: int = 0
    """Silence after which the participant leaves the room; 0: the server's default."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Attributes of the participant in the room."""
    token: str = field(default="", repr=False)
    """The join token."""

    @property
    def in_a_room(self) -> bool:
        """Whether motion goes to a room; the socket then carries none."""
        return self.type is not EgressType.WEBSOCKET

    @property
    def http_url(self) -> str:
        """The HTTP URL of the room's server, without credentials or query."""
        parts = urlsplit(self.url)
        return f"{_SCHEMES[parts.scheme]}://{_address(parts)}{parts.path}".rstrip("/")

    def summary(self) -> dict[str, Any]:
        """The JSON of the admin resource. A URL is reduced to its address: the rest may have a secret."""
        if not self.in_a_room:
            return {"type": self.type}
        parts = _split(self.url)
        return {
            "type": self.type,
            "url": f"{parts.scheme}://{_address(parts)}" if parts else "",
            "room": self.room,
            "publisher_id": self.publisher_id,
            "idle_timeout_s": self.idle_timeout_s,
            "attributes": dict(self.attributes),
        }


def read(configure: Any) -> Egress:
    """Read and check the egress of a ClientConfigureSession.

    Args:
        configure: The message.

    Raises:
        Refusal: The egress is incomplete, or its token malformed.
    """
    match configure.egress_type:
        case 0:
            return Egress()
        case 1:
            return _livekit(configure.livekit_egress)
        case 2:
            return _agora(configure.agora_egress)
        case unknown:
            raise Refusal(INVALID_ARGUMENT, f"unknown egress type {unknown}")


def _livekit(config: Any) -> Egress:
    if not config.api_token and not (config.api_key and config.api_secret):
        raise Refusal(INVALID_ARGUMENT, "missing livekit credentials")
    if not config.room_name:
        raise Refusal(INVALID_ARGUMENT, "livekit_egress: room_name is empty")
    if _split(config.url) is None:
        raise Refusal(INVALID_ARGUMENT, "livekit_egress: url is not the address of a LiveKit server")
    if config.idle_timeout < 0:
        raise Refusal(INVALID_ARGUMENT, "livekit_egress: idle_timeout is negative")
    return Egress(
        EgressType.LIVEKIT,
        room=config.room_name,
        publisher_id=config.publisher_id,
        url=config.url,
        idle_timeout_s=config.idle_timeout,
        attributes=dict(config.extra_attributes),
        token=config.api_token or _minted(config),
    )


def _agora(config: Any) -> Egress:
    if not config.token:
        raise Refusal(INVALID_ARGUMENT, "missing agora credentials")
    if not config.channel_name:
        raise Refusal(INVALID_ARGUMENT, "agora_egress: channel_name is empty")
    return Egress(
        EgressType.AGORA, room=config.channel_name, publisher_id=config.publisher_id, token=config.token
    )


def check_token(egress: Egress) -> None:
    """Check the claims of a LiveKit join token. The server verifies its signature.

    Raises:
        Refusal: The token is malformed, not valid now, or does not grant access to the room.
    """
    try:
        claims = jwt.decode(
            egress.token, options={"verify_signature": False, "verify_exp": True, "verify_nbf": True}
        )
    except jwt.InvalidTokenError:
        raise Refusal(UNAUTHENTICATED, UNAUTHORIZED) from None
    grants = claims.get("video")
    if not isinstance(grants, dict):
        grants = {}
    joins = grants.get("roomJoin") is True and grants.get("room") == egress.room
    if not joins or not claims.get("sub") or grants.get("canPublish") is False:
        raise Refusal(UNAUTHENTICATED, UNAUTHORIZED)


def _minted(config: Any) -> str:
    """Create a join token with the client's key and secret."""
    now = int(time.time())
    return jwt.encode(
        {
            "iss": config.api_key,
            "sub": config.publisher_id or "avatar",
            "nbf": now,
            "exp": now + _MINTED_TOKEN_S,
            "kind": "agent",
            "attributes": dict(config.extra_attributes),
            "video": {"roomJoin": True, "room": config.room_name, "canSubscribe": False},
        },
        config.api_secret,
        algorithm="HS256",
    )


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _address(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]

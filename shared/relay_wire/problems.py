"""Problems: the one registry of HTTP errors, sent as RFC 9457 problem details."""

from typing import Any, NamedTuple

CONTENT_TYPE = "application/problem+json"
PROBLEM_HEADER = "Avatar-Relay-Problem"
"""A header with the problem's name: WebSocket clients cannot read the body of a refused handshake."""
_TYPE_PREFIX = "urn:avatar-relay:problem:"


class ProblemType(NamedTuple):
    """One kind of problem: its name in ``type``, its status, its fixed title."""

    name: str
    status: int
    title: str


def type_of(kind: ProblemType) -> str:
    """The ``type`` of a problem object."""
    return _TYPE_PREFIX + kind.name


class Problem(Exception):
    """Raised to refuse a request, with the reason.

    Args:
        kind: The registered kind.
        detail: The reason of this occurrence and how to correct the request. Never a secret.
        retry_after_s: Sent as ``Retry-After``; None: a later request is refused, too.
        extra: Further members of the problem object.
    """

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        *,
        retry_after_s: int | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(f"{kind.name}: {detail}")
        self.kind = kind
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """The problem object."""
        return {
            "type": type_of(self.kind),
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            **self.extra,
        }


BAD_REQUEST = ProblemType("bad-request", 400, "The request cannot be understood")
MALFORMED_JSON = ProblemType("malformed-json", 400, "The body is not the JSON expected here")
BAD_POSITION = ProblemType("bad-position", 400, "The position to start from is not one of this conversation")
EMPTY_AUDIO = ProblemType("empty-audio", 400, "The body has no audio")
NOT_A_WAV = ProblemType("not-a-wav", 400, "The body is not a WAV file")
UNAUTHORIZED = ProblemType("unauthorized", 401, "Credentials are missing or not valid")
FORBIDDEN = ProblemType("forbidden", 403, "The credentials do not allow this")
UNKNOWN_CONVERSATION = ProblemType("unknown-conversation", 404, "There is no such conversation")
UNKNOWN_CLIP = ProblemType("unknown-clip", 404, "There is no such clip")
NOT_FOUND = ProblemType("not-found", 404, "There is nothing here")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "The resource has no such method")
REQUEST_TIMEOUT = ProblemType("request-timeout", 408, "The body did not arrive in time")
TURN_OPEN = ProblemType("turn-open", 409, "Another turn is being spoken into this conversation")
CLIP_NOT_READY = ProblemType("clip-not-ready", 409, "The clip is not rendered")
CONVERSATION_ENDED = ProblemType("conversation-ended", 410, "The conversation is over")
TOO_LARGE = ProblemType("too-large", 413, "The body is too large")
UNSUPPORTED_MEDIA = ProblemType("unsupported-media", 415, "The content type is not supported here")
UNSUPPORTED_AUDIO = ProblemType("unsupported-audio", 422, "The audio has a form the avatar cannot speak")
INVALID_FIELD = ProblemType("invalid-field", 422, "A field has a value that is not allowed")
IDEMPOTENCY_MISMATCH = ProblemType(
    "idempotency-mismatch", 422, "The idempotency key was used with other audio"
)
CLIP_MISMATCH = ProblemType("clip-mismatch", 422, "The clip does not fit the conversation")
UPGRADE_REQUIRED = ProblemType("upgrade-required", 426, "This resource is a WebSocket")
TOO_MANY_CONVERSATIONS = ProblemType(
    "too-many-conversations", 429, "Conversation limit reached for this API key"
)
TOO_MANY_CLIPS = ProblemType("too-many-clips", 429, "Clip limit reached for this API key")
RATE_LIMITED = ProblemType("rate-limited", 429, "Too many requests")
TOO_MANY_CONNECTIONS = ProblemType(
    "too-many-connections", 429, "Connection limit reached for this client address"
)
GATEWAY_FULL = ProblemType("gateway-full", 503, "Viewer limit of this gateway reached")
CONVERSATION_FULL = ProblemType(
    "conversation-full", 503, "Viewer limit of the conversation reached at this gateway"
)
VENDOR_FAILED = ProblemType("vendor-failed", 502, "The vendor issued no session token")
UPLINK_FULL = ProblemType("uplink-full", 503, "Uplink queue is full")
OVERLOADED = ProblemType("overloaded", 503, "Overloaded")
DRAINING = ProblemType("draining", 503, "Shutting down")
POSITION_AHEAD = ProblemType("position-ahead", 503, "The position is after the last frame Redis has")
NOT_RESTORED = ProblemType("not-restored", 503, "Redis has no record of the conversation now")
NO_OWNER = ProblemType("no-owner", 503, "No worker has room for the conversation")
UNREADABLE_RECORD = ProblemType("unreadable-record", 503, "The conversation's record cannot be read here")
STORE_UNAVAILABLE = ProblemType("store-unavailable", 503, "Redis cannot be reached")
INTERNAL = ProblemType("internal", 500, "The server failed at this request")

REGISTRY: dict[str, ProblemType] = {
    entry.name: entry for entry in list(globals().values()) if isinstance(entry, ProblemType)
}
"""Every kind of problem the relay answers with, by name."""

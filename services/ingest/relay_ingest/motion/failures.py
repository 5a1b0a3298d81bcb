"""Failures of motion: what the Server SDK's exceptions mean, what viewers are told, what the log may have.

Viewers get a code and the one sentence that belongs to it. What the vendor, its server or the network said
goes to the log only, cut and with secrets masked: a server that answers an error may repeat what it was sent.
Facts about the SDK are those of ``spatius`` 1.1.1 (facts 1.14).
"""

import re
from dataclasses import dataclass

from spatius import AvatarSDKError, AvatarSDKErrorCode, SessionTokenError

LOG_CHARACTERS = 300
"""Most of a foreign text that is logged."""

# The SDK leaves the meaning of close codes to us (facts 1.14).
_CLOSE_CODES = {
    4001: AvatarSDKErrorCode.creditsExhausted,
    4002: AvatarSDKErrorCode.sessionDurationExceeded,
    4010: AvatarSDKErrorCode.sessionTokenExpired,
}

# Worth another session soon; everything else needs a human first (facts 1.14, policy of the vendor's docs).
_RETRYABLE = {
    AvatarSDKErrorCode.connectionClosed,
    AvatarSDKErrorCode.connectionFailed,
    AvatarSDKErrorCode.egressUnavailable,
    AvatarSDKErrorCode.idleTimeout,
    AvatarSDKErrorCode.serverError,
    AvatarSDKErrorCode.sessionDurationExceeded,
    AvatarSDKErrorCode.sessionTokenExpired,
    AvatarSDKErrorCode.sessionTokenInvalid,
    AvatarSDKErrorCode.upstreamError,
}

PHASES = (
    "session_token", "websocket_connect", "websocket_handshake", "websocket_runtime", "websocket_send",
    "held", "unknown",
)  # fmt: skip
"""Where motion fails."""

HELD = "held"
OUTBOX_FULL = "outboxFull"
INVALID_STATE = "invalidState"
INVALID_CONFIGURATION = "invalidConfiguration"
API_KEY_REFUSED = "apiKeyRefused"
_KEY_STATUSES = (401, 403)
_BAD_REQUEST = 400

SENTENCES = {
    "sessionTokenExpired": "the motion service does not accept this relay's credentials",
    "sessionTokenInvalid": "the motion service does not accept this relay's credentials",
    "appIDUnrecognized": "the motion service does not know this relay's app",
    "appIDMismatch": "the motion service does not know this relay's app",
    "avatarNotFound": "the motion service does not know this avatar",
    "billingRequired": "the motion service has no seat left for this relay",
    "creditsExhausted": "the motion service has no credits left for this relay",
    "sessionDurationExceeded": "the motion service ended a session that had reached its longest duration",
    "unsupportedSampleRate": "the motion service does not take this sample rate",
    "invalidEgressConfig": "the motion service refused the request",
    "egressUnavailable": "the motion service is not available",
    "idleTimeout": "the motion service ended a session that was silent",
    "upstreamError": "the motion service is not available",
    "invalidRequest": "the motion service refused the request",
    "connectionFailed": "the motion service cannot be reached",
    "connectionClosed": "the motion service closed the connection",
    "protocolError": "the motion service sent what cannot be understood",
    "serverError": "the motion service failed",
    "unknown": "the motion service failed",
    HELD: "the motion service is not tried again yet after a failure that lasts",
    OUTBOX_FULL: "the motion service takes no audio",
    INVALID_STATE: "motion failed in the relay",
    API_KEY_REFUSED: "the motion service does not accept this relay's credentials",
    INVALID_CONFIGURATION: "the relay's settings of the motion service cannot be used",
}
"""What viewers are told, by code: the vendor's, and those of the relay."""

_SECRETS = (
    re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;}]+"),
    re.compile(
        r"(?i)\b([\w-]*(?:key|token|secret|password|authorization))[\"']?\s*[:=]\s*[\"']?(?:[a-z]+\s+)?[^\s\"',;&}]+"
    ),
    re.compile(r"\beyJ[\w-]+(?:\.[\w-]*){1,2}()"),
)


@dataclass(frozen=True, slots=True)
class MotionFailure:
    """Why motion stopped."""

    code: str
    """One of ``SENTENCES``."""
    detail: str
    """For the log: cut, and without secrets. Never for viewers."""
    phase: str
    retryable: bool

    @property
    def sentence(self) -> str:
        """For viewers."""
        return SENTENCES[self.code]


CLOSED_SILENTLY = MotionFailure(
    "connectionClosed", "Motion Server closed the session", "websocket_runtime", retryable=True
)
"""A close with 1000 or 1001 brings no error, only ``on_close`` (facts 1.7)."""


def loggable(text: str, *secrets: str) -> str:
    """A foreign text on one line, with what is or looks like a secret masked, cut to ``LOG_CHARACTERS``."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    for pattern in _SECRETS:
        text = pattern.sub(r"\1 ***", text)
    text = " ".join(text.split())
    return text if len(text) <= LOG_CHARACTERS else text[:LOG_CHARACTERS] + "..."


def failure_of(error: BaseException, *secrets: str, opening: bool = False) -> MotionFailure:
    """What an exception means.

    Args:
        error: The SDK's, or one out of it.
        secrets: Masked in its text.
        opening: Whether a session was being opened.
    """
    if not isinstance(error, AvatarSDKError):
        # Misuse is a plain ValueError: sending after a close, a key that fits no header (facts 1.5, 1.14).
        detail = loggable(f"{type(error).__name__}: {error}", *secrets)
        if opening and isinstance(error, ValueError | TypeError):
            return MotionFailure(INVALID_CONFIGURATION, detail, "session_token", retryable=False)
        return MotionFailure(INVALID_STATE, detail, "unknown", retryable=True)
    detail = loggable(error.message, *secrets)
    code = _CLOSE_CODES.get(error.close_code or 0, error.code)
    if isinstance(error, SessionTokenError):
        # The SDK takes the word "unauthorized", or the status, for the configuration's or the token's fault;
        # where a token is asked for, it is the API key that is refused.
        if error.http_status in _KEY_STATUSES:
            return MotionFailure(API_KEY_REFUSED, detail, "session_token", retryable=False)
        retryable = code in _RETRYABLE and error.http_status != _BAD_REQUEST
        return MotionFailure(_known(code), detail, "session_token", retryable)
    phase = error.phase if error.phase in PHASES else "unknown"
    return MotionFailure(_known(code), detail, phase, retryable=code in _RETRYABLE)


def _known(code: AvatarSDKErrorCode) -> str:
    return code.value if code.value in SENTENCES else "unknown"

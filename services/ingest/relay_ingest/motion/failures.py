"""Failures of motion: their codes, what viewers receive of them, and what the log may have. Pure.

Viewers receive a code and the one message that belongs to it. The text of the vendor, its server or the
network goes to the log only, cut and with secrets masked: a server that answers with an error may repeat what
it was sent.
"""

import re
from dataclasses import dataclass

LOG_CHARACTERS = 300
"""Most of a foreign text that is logged."""

PHASES = (
    "session_token", "websocket_connect", "websocket_handshake", "websocket_runtime", "websocket_send",
    "held", "unknown",
)  # fmt: skip
"""Where motion fails."""

HELD = "held"
QUEUE_FULL = "outboxFull"
INVALID_STATE = "invalidState"
INVALID_CONFIGURATION = "invalidConfiguration"
API_KEY_REFUSED = "apiKeyRefused"

MESSAGES = {
    "sessionTokenExpired": "the motion service does not accept this relay's credentials",
    "sessionTokenInvalid": "the motion service does not accept this relay's credentials",
    "appIDUnrecognized": "the motion service does not know this relay's app",
    "appIDMismatch": "the motion service does not know this relay's app",
    "avatarNotFound": "the motion service does not know this avatar",
    "billingRequired": "the motion service has no seat left for this relay",
    "creditsExhausted": "the motion service has no credits left for this relay",
    "sessionDurationExceeded": "the motion service ended a session that had reached its longest duration",
    "unsupportedSampleRate": "the motion service does not support this sample rate",
    "invalidEgressConfig": "the motion service refused the request",
    "egressUnavailable": "the motion service is not available",
    "idleTimeout": "the motion service ended a session that was idle",
    "upstreamError": "the motion service is not available",
    "invalidRequest": "the motion service refused the request",
    "connectionFailed": "the motion service cannot be reached",
    "connectionClosed": "the motion service closed the connection",
    "protocolError": "the motion service sent an invalid message",
    "serverError": "the motion service failed",
    "unknown": "the motion service failed",
    HELD: "the motion service is not tried again yet after a final failure",
    QUEUE_FULL: "the motion service accepts no audio",
    INVALID_STATE: "motion failed in the relay",
    API_KEY_REFUSED: "the motion service does not accept this relay's credentials",
    INVALID_CONFIGURATION: "the relay's settings of the motion service are invalid",
}
"""The message for viewers, by code: the vendor's codes, and those of the relay."""

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
    """One of ``MESSAGES``."""
    detail: str
    """For the log: cut, and without secrets. Never for viewers."""
    phase: str
    """One of ``PHASES``."""
    retryable: bool
    """Whether another session may succeed soon; if not, an operator must act first."""

    @property
    def message(self) -> str:
        """For viewers."""
        return MESSAGES[self.code]


CLOSED_SILENTLY = MotionFailure(
    "connectionClosed", "Motion Server closed the session", "websocket_runtime", retryable=True
)
"""A close with 1000 or 1001 brings no error, only ``on_close`` (facts 1.7)."""


class MotionFailed(Exception):
    """Raised when a Motion session cannot be opened or used.

    Attributes:
        failure: The reason.
    """

    def __init__(self, failure: MotionFailure) -> None:
        super().__init__(failure.code)
        self.failure = failure


def loggable(text: str, *secrets: str) -> str:
    """A foreign text on one line, with what is or looks like a secret masked, cut to ``LOG_CHARACTERS``."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    for pattern in _SECRETS:
        text = pattern.sub(r"\1 ***", text)
    text = " ".join(text.split())
    return text if len(text) <= LOG_CHARACTERS else text[:LOG_CHARACTERS] + "..."

"""Close codes: the one registry of why a socket ends and what the client does next.

A code that a client does not know has the advice of its range: 4100-4199 resume, 4200-4299 back off and
resume, 4400-4499 final.
"""

from enum import Enum
from typing import NamedTuple

from relay_wire import problems
from relay_wire.problems import ProblemType


class ReconnectAdvice(Enum):
    """What a client does after a close."""

    RESUME = "resume"
    """Reconnect from the last position at once, but for a short jitter."""
    BACK_OFF = "back off and resume"
    """Reconnect from the last position after an exponential, jittered wait."""
    FINAL = "final"
    """Do not reconnect: the same request would end the same way."""


class CloseCode(NamedTuple):
    """One way a socket ends."""

    code: int
    name: str
    advice: ReconnectAdvice
    meaning: str


NORMAL = CloseCode(1000, "normal", ReconnectAdvice.FINAL, "the closing side is done")
GOING_AWAY = CloseCode(1001, "going_away", ReconnectAdvice.RESUME, "the peer is leaving")
PROTOCOL_ERROR = CloseCode(1002, "protocol_error", ReconnectAdvice.FINAL, "broken WebSocket framing")
UNSUPPORTED_DATA = CloseCode(
    1003, "unsupported_data", ReconnectAdvice.FINAL, "text where binary is due, or the reverse"
)
NO_STATUS = CloseCode(1005, "no_status", ReconnectAdvice.RESUME, "the peer closed without a code")
ABNORMAL = CloseCode(1006, "abnormal", ReconnectAdvice.RESUME, "the connection broke without a close frame")
INVALID_TEXT = CloseCode(1007, "invalid_text", ReconnectAdvice.FINAL, "a text message is not UTF-8")
TOO_BIG = CloseCode(
    1009, "too_big", ReconnectAdvice.BACK_OFF, "a message exceeds the size limit; do not repeat it"
)
INTERNAL_ERROR = CloseCode(
    1011, "internal_error", ReconnectAdvice.BACK_OFF, "the server failed at this connection"
)
RESTART = CloseCode(1012, "restart", ReconnectAdvice.RESUME, "the gateway is being replaced")
TRY_LATER = CloseCode(1013, "try_later", ReconnectAdvice.BACK_OFF, "the server is overloaded")

SLOW_CONSUMER = CloseCode(
    4100, "slow_consumer", ReconnectAdvice.RESUME, "the client reads slower than the avatar speaks"
)
STORE_UNAVAILABLE = CloseCode(4200, "store_unavailable", ReconnectAdvice.BACK_OFF, "Redis cannot be read")
RATE_LIMITED = CloseCode(4201, "rate_limited", ReconnectAdvice.BACK_OFF, "the client exceeds a rate limit")
BAD_MESSAGE = CloseCode(4400, "bad_message", ReconnectAdvice.FINAL, "a message cannot be understood")
BAD_TOKEN = CloseCode(
    4401, "bad_token", ReconnectAdvice.FINAL, "the token is missing, expired or not valid here"
)
FORBIDDEN = CloseCode(4403, "forbidden", ReconnectAdvice.FINAL, "the token's role does not allow this")
UNKNOWN_CONVERSATION = CloseCode(
    4404, "unknown_conversation", ReconnectAdvice.FINAL, "there is no such conversation"
)
CONVERSATION_ENDED = CloseCode(4410, "conversation_ended", ReconnectAdvice.FINAL, "the conversation is over")

REGISTRY: dict[int, CloseCode] = {
    entry.code: entry for entry in list(globals().values()) if isinstance(entry, CloseCode)
}
"""Every code the relay sends or understands, by number."""

_NEVER_SENT = frozenset((1004, NO_STATUS.code, ABNORMAL.code))
"""The reserved code, and the names of ends without a code."""
_TLS_FAILED, _LIBRARIES, _BEYOND = 1015, 3000, 5000
"""The first codes that nobody has defined yet, those of libraries and applications, and those after them."""

_RANGES = {41: ReconnectAdvice.RESUME, 42: ReconnectAdvice.BACK_OFF, 44: ReconnectAdvice.FINAL}


def advice(code: int) -> ReconnectAdvice:
    """The advice of a code; of an unknown code its range's, outside the ranges to back off and resume."""
    known = REGISTRY.get(code)
    return known.advice if known else _RANGES.get(code // 100, ReconnectAdvice.BACK_OFF)


def may_be_sent(number: int) -> bool:
    """Whether an endpoint may send a code in a close frame (RFC 6455 7.4), in the registry or not."""
    if number in _NEVER_SENT:
        return False
    return NORMAL.code <= number < _TLS_FAILED or _LIBRARIES <= number < _BEYOND


def of_number(number: int | None) -> CloseCode:
    """The code of a socket that has closed, known or not; None when no close frame came."""
    if number is None:
        return ABNORMAL
    return REGISTRY.get(number) or CloseCode(number, "unknown", advice(number), "not in the registry")


_BY_PROBLEM = {
    problems.UNAUTHORIZED: BAD_TOKEN,
    problems.FORBIDDEN: FORBIDDEN,
    problems.UNKNOWN_CONVERSATION: UNKNOWN_CONVERSATION,
    problems.CONVERSATION_ENDED: CONVERSATION_ENDED,
    problems.TOO_LARGE: TOO_BIG,
    problems.RATE_LIMITED: RATE_LIMITED,
    problems.TOO_MANY_CONNECTIONS: RATE_LIMITED,
    problems.DRAINING: RESTART,
    problems.STORE_UNAVAILABLE: STORE_UNAVAILABLE,
    problems.INTERNAL: INTERNAL_ERROR,
}


def of_problem(kind: ProblemType) -> CloseCode:
    """The code that closes an open socket for a problem."""
    return _BY_PROBLEM.get(kind, BAD_MESSAGE if kind.status < problems.INTERNAL.status else TRY_LATER)

"""The verdict: whether a run kept the relay's guarantees, from the figures that Locust has of it. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

DELIVER = "deliver"
REPLAY = "replay"
CONNECT = "connect"
RESUME = "resume"
BREAK = "break"
GAP = "gap"
LOST = "lost"
REPEATED = "repeated"
REORDERED = "reordered"
FINAL_CLOSE = "final close"
UNFINISHED = "unfinished"
ROUND = "round"
MOTION = "motion"

BREACHES: Mapping[str, str] = {
    GAP: "gaps: frames that retention had removed before a viewer read them",
    LOST: "losses: frames that are missing without a gap",
    REPEATED: "repeated frames",
    REORDERED: "frames out of order",
    FINAL_CLOSE: "final closes: sockets that ended with a code after which clients do not return",
    UNFINISHED: "viewers that did not receive the end of their conversation",
}
"""Events that a whole run has none of, and what they are."""


class Figures(NamedTuple):
    """What Locust has of one name, over all users."""

    requests: int
    failures: int
    p99_ms: float = 0.0


class Limits(NamedTuple):
    """What a run may have."""

    error_share: float = 0.01
    """Failed requests, of all."""
    deliver_p99_ms: float = 0.0
    """Of the latency of frames; 0: no limit."""


def complaints(figures: Mapping[str, Figures], exceptions: int, limits: Limits) -> list[str]:
    """What is wrong with a run; nothing when it is whole.

    Args:
        figures: By name.
        exceptions: Errors in the users' own code.
        limits: The limits.
    """
    wrong = [f"{figures[name].requests} {text}" for name, text in BREACHES.items() if name in figures]
    delivered = figures.get(DELIVER, Figures(0, 0))
    if not delivered.requests:
        wrong.append("no frame was delivered")
    if ROUND in figures and figures[ROUND].failures:
        wrong.append(f"{figures[ROUND].failures} breaches of the rules of AvatarKit clients")
    if limits.deliver_p99_ms and delivered.p99_ms > limits.deliver_p99_ms:
        wrong.append(f"99 % of the frames came within {delivered.p99_ms:g} ms, not {limits.deliver_p99_ms:g}")
    total = sum(one.requests for one in figures.values())
    failed = sum(one.failures for one in figures.values())
    if failed > limits.error_share * total:
        wrong.append(f"{failed} of {total} requests failed, more than {limits.error_share:.2%}")
    if exceptions:
        wrong.append(f"{exceptions} errors in the load test's own code")
    return wrong

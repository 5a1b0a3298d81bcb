"""Timeline: everything that ``avatar-relay explain`` shows of one turn."""

from dataclasses import dataclass

from relay_cli.explain.hops import Hop, hops, slowest, verdict
from relay_cli.explain.steps import Step, steps
from relay_cli.explain.turn import Turn

DELIVERY = "The stream ends at the gateways: relay_gateway_latency_seconds has the delivery to the viewers"


@dataclass(frozen=True)
class Timeline:
    """One turn, hop by hop."""

    conversation: str
    turn: int
    state: str
    """Its outcome, or ``under way``."""
    owner: str
    """The worker that owns the conversation now, or did last."""
    traceparent: str
    trace_id: str
    """Empty when the turn is not sampled."""
    origin_ms: int
    """The wall time that the steps count from, in milliseconds."""
    first_position: str
    last_position: str
    frames: int
    audio_s: float
    audio_bytes: int
    motion_bytes: int
    motion_lead_min_s: float | None
    waiting: str
    """What waits in the uplink; empty when nothing does."""
    steps: list[Step]
    hops: list[Hop]
    slowest: str
    """The name of the slowest hop."""
    verdict: str
    """One sentence about it."""


def timeline(turn: Turn, *, conversation: str, owner: str, traceparent: str, waiting: str) -> Timeline:
    """Compute the timeline of a turn.

    Args:
        turn: Its frames.
        conversation: The conversation's id.
        owner: The conversation's owner.
        traceparent: The trace context of the turn's input, for a turn whose frames carry none.
        waiting: What waits in the uplink.
    """
    context = turn.traceparent or traceparent
    found = hops(turn)
    slow = slowest(found)
    return Timeline(
        conversation=conversation,
        turn=turn.number,
        state=turn.ended[1].outcome if turn.ended else "under way",
        owner=owner,
        traceparent=context,
        trace_id=context.split("-")[1] if context else "",
        origin_ms=round(turn.origin_s * 1000),
        first_position=str(turn.frames[0].position),
        last_position=str(turn.frames[-1].position),
        frames=len(turn.frames),
        audio_s=turn.audio_s,
        audio_bytes=turn.audio_bytes,
        motion_bytes=turn.motion_bytes,
        motion_lead_min_s=min(turn.leads, default=None),
        waiting=waiting,
        steps=steps(turn),
        hops=found,
        slowest=slow.name if slow else "",
        verdict=verdict(found),
    )

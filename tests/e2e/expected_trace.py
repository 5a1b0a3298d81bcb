"""What the trace of a turn has to be: its spans, where each is from, what it has, and in which order."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from tests.e2e.traced_turns import TracedTurn
from tests.rigs.otlp import Link, Span

SKEW_NS = 5_000_000
"""The clocks of event loops have milliseconds."""
ROUNDING_NS = 2_000
"""Jaeger keeps microseconds of a start and of a duration."""
_OF = {
    "send up": ("avatar-relay-control", "PRODUCER"),
    "process up": ("avatar-relay-ingest", "CONSUMER"),
    "motion": ("avatar-relay-ingest", "CLIENT"),
    "send down": ("avatar-relay-ingest", "PRODUCER"),
    "process down": ("avatar-relay-gateway", "CONSUMER"),
}


def assert_whole(spans: Sequence[Span], turn: TracedTurn) -> None:
    """The trace of a turn that nothing has happened to."""
    [up], [process], [motion], [down] = (
        _named(spans, name) for name in ("send up", "process up", "motion", "send down")
    )
    gateways = _named(spans, "process down")
    _assert_of_the_turn(spans, turn)
    assert len(spans) == 4 + len(gateways)

    assert up.parent_id == turn.callers[0]
    assert process.parent_id == up.span_id
    assert motion.parent_id == down.parent_id == process.span_id
    assert {one.parent_id for one in gateways} == {down.span_id}
    assert not any(span.links or span.error for span in spans)

    assert up.attributes["relay.audio_bytes"] == len(turn.speech)
    assert process.attributes["relay.outcome"] == "complete"
    assert process.attributes["relay.source"] == "post"
    assert down.attributes["relay.audio_bytes"] == len(turn.speech)
    assert down.attributes["relay.motion_bytes"] == sum(map(len, turn.viewers[0].motion(1)))
    assert down.attributes["relay.frames"] == len(turn.frames(0))
    assert motion.attributes["relay.motion_bytes"] == down.attributes["relay.motion_bytes"]
    assert _names(motion) == ["session opened", "first motion"]
    _assert_gateways(gateways, turn)

    _assert_order(up.start_ns, process.start_ns, motion.start_ns, *_times(motion), motion.end_ns)
    _assert_order(process.start_ns, down.start_ns, down.end_ns, process.end_ns)
    for one in gateways:
        first, first_motion, last = _times(one)
        _assert_order(down.start_ns, first, first_motion, last)
        _assert_order(_times(motion)[1], first_motion)
        _assert_order(down.end_ns, last)


def assert_handed_over(spans: Sequence[Span], turn: TracedTurn) -> None:
    """The trace of a turn whose owner has left in its middle: that of two owners."""
    ups, processes, downs = (_named(spans, name) for name in ("send up", "process up", "send down"))
    gateways = _named(spans, "process down")
    _assert_of_the_turn(spans, turn)

    former, owner = processes
    assert former.instance != owner.instance
    assert former.attributes["relay.generation"] < owner.attributes["relay.generation"]
    assert (former.attributes["relay.outcome"], former.links) == ("left", [])
    assert former.parent_id == owner.parent_id == ups[0].span_id, "the next owner continues the trace"
    assert [one.parent_id for one in downs] == [former.span_id, owner.span_id]
    motion = _named(spans, "motion")[0]
    assert (motion.instance, motion.parent_id) == (former.instance, former.span_id)
    assert sum(one.attributes["relay.frames"] for one in downs) == len(turn.frames(0))
    assert sum(one.attributes["relay.audio_bytes"] for one in downs) == len(turn.speech)
    for one in gateways:
        assert one.parent_id == downs[0].span_id
        assert one.links == [Link(turn.trace_id, downs[1].span_id)], "frames of both owners"

    _assert_crossed(ups, owner, gateways, turn)
    _assert_order(ups[0].start_ns, former.start_ns, former.end_ns, owner.start_ns)
    _assert_order(former.start_ns, downs[0].start_ns, downs[1].start_ns)
    for one in gateways:
        _assert_order(downs[0].start_ns, _times(one)[0])
        _assert_order(downs[1].end_ns, _times(one)[-1])


def assert_killed(spans: Sequence[Span], turn: TracedTurn) -> None:
    """The trace of a turn whose owner was killed: its spans are lost, and all others are there."""
    ups, [owner], [down] = (_named(spans, name) for name in ("send up", "process up", "send down"))
    gateways = _named(spans, "process down")
    _assert_of_the_turn(spans, turn)

    assert owner.parent_id == ups[0].span_id, "the next owner continues the trace"
    assert owner.attributes["relay.generation"] == max(frame.generation for frame in turn.frames(0))
    assert not _named(spans, "motion")
    assert down.parent_id == owner.span_id
    [lost] = {one.parent_id for one in gateways}
    assert lost not in {span.span_id for span in spans}
    for one in gateways:
        assert one.links == [Link(turn.trace_id, down.span_id)], "frames of both owners"

    _assert_crossed(ups, owner, gateways, turn)
    _assert_order(ups[0].start_ns, owner.start_ns, down.start_ns)
    for one in gateways:
        _assert_order(ups[0].start_ns, _times(one)[0], owner.start_ns)
        _assert_order(down.end_ns, _times(one)[-1])


def assert_forced(spans: Sequence[Span], turn: TracedTurn) -> None:
    """The trace of a turn that was not sampled, and continued without motion: its owner and gateways."""
    [process], [motion], [down] = (_named(spans, name) for name in ("process up", "motion", "send down"))
    gateways = _named(spans, "process down")
    _assert_of_the_turn(spans, turn)
    assert len(spans) == 3 + len(gateways), "the request was over before"

    assert process.attributes["relay.forced"] == process.attributes["relay.outcome"] == "audio_only"
    assert motion.parent_id == down.parent_id == process.span_id
    assert {one.parent_id for one in gateways} == {down.span_id}
    assert _names(motion) == ["session opened", "first motion", "failed"]
    assert motion.error == process.attributes["relay.reason"]
    assert down.attributes["relay.frames"] == len(turn.frames(0))
    assert down.attributes["relay.audio_bytes"] == len(turn.speech)
    _assert_gateways(gateways, turn)


def _assert_of_the_turn(spans: Sequence[Span], turn: TracedTurn) -> None:
    """What every span of every turn has; and each begins after its parent."""
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans), "no id twice"
    for span in spans:
        assert (span.service, span.kind) == _OF[span.name]
        assert (span.trace_id, span.state) == (turn.trace_id, turn.state)
        assert span.attributes["relay.conversation"] == turn.conversation
        assert span.attributes["relay.turn"] == 1
        assert span.start_ns <= span.end_ns
        _assert_order(span.start_ns, *_times(span), span.end_ns)
        if parent := by_id.get(span.parent_id):
            _assert_order(parent.start_ns, span.start_ns)


def _assert_crossed(ups: Sequence[Span], owner: Span, gateways: Sequence[Span], turn: TracedTurn) -> None:
    """What a turn has that crossed an owner change: two requests, and a second owner that ends it."""
    assert [one.parent_id for one in ups] == turn.callers
    assert owner.links == [Link(turn.trace_id, ups[1].span_id)], "the speech of a second request"
    assert owner.attributes["relay.outcome"] == "audio_only"
    assert owner.attributes["relay.reason"] == "owner_changed"
    assert turn.crossed_ns - SKEW_NS <= owner.start_ns
    _assert_gateways(gateways, turn)


def _assert_gateways(gateways: Sequence[Span], turn: TracedTurn) -> None:
    """A span of each gateway, with all that its viewer has received."""
    assert len({one.instance for one in gateways}) == len(gateways) == len(turn.viewers)
    for one in gateways:
        assert _names(one) == ["first write", "first motion write", "last write"]
        assert abs(_times(one)[0] - one.start_ns) <= ROUNDING_NS
        assert abs(_times(one)[-1] - one.end_ns) <= ROUNDING_NS
        assert one.attributes["relay.viewers"] == 1
        assert one.attributes["relay.outcome"] == "whole"
    received = [(len(turn.frames(at)), turn.size_bytes(at)) for at in range(len(turn.viewers))]
    counted = [
        (one.attributes["relay.frames"], one.attributes["messaging.message.body.size"]) for one in gateways
    ]
    assert sorted(counted) == sorted(received)


def _assert_order(*moments: int) -> None:
    for earlier, later in pairwise(moments):
        assert earlier <= later + SKEW_NS, f"{(earlier - later) / 1e6} ms too late"


def _named(spans: Iterable[Span], name: str) -> list[Span]:
    return sorted((span for span in spans if span.name == name), key=lambda span: span.start_ns)


def _names(span: Span) -> list[str]:
    return [event.name for event in sorted(span.events, key=lambda event: event.at_ns)]


def _times(span: Span) -> list[int]:
    return sorted(event.at_ns for event in span.events)

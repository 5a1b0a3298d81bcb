"""Turn spans: a timeline in, spans out."""

from opentelemetry.trace import SpanKind

from relay_ingest.turn_spans import TurnSpans
from relay_ingest.turn_timeline import TurnTimeline
from relay_telemetry import semconv
from relay_telemetry.trace_context import Context, Event

PARENT = Context(f"00-{'1' * 32}-{'2' * 16}-01", "v=1")
OWN, FRAMES = PARENT.child("3" * 16), PARENT.child("4" * 16)
LINK = Context(f"00-{'5' * 32}-{'6' * 16}-01")
SPANS = TurnSpans("c", 7, sample_rate=16000, wall_ns=1_000_000_000_000)
COMMON = {semconv.CONVERSATION: "c", semconv.TURN: 3, semconv.GENERATION: 7}


def timeline() -> TurnTimeline:
    return TurnTimeline(3, 10.0, parent=PARENT, context=OWN, frames_context=FRAMES)


def test_a_whole_turn() -> None:
    """Three spans, children first, each with its own times."""
    turn = timeline()
    turn.source, turn.links = "socket", [LINK]
    turn.started_at = turn.first_audio_at = 10.25
    turn.frames, turn.audio_bytes = 5, 32_000
    turn.motion_asked_at = 10.5
    turn.session, turn.session_opened_at = "s1", 10.75
    turn.motion_arrived(11.0, 20_000, 20_000.0)
    turn.last_frame_at = 11.0
    turn.end(11.5, "complete")
    motion, send, process = SPANS.of(turn)

    assert process._replace(attributes={}) == (
        "process up", SpanKind.CONSUMER, PARENT, OWN, 1_010_000_000_000, 1_011_500_000_000, {}, (),
        [LINK], "",
    )  # fmt: skip
    assert process.attributes == COMMON | semconv.processes("up") | {
        semconv.OUTCOME: "complete", semconv.SOURCE: "socket", semconv.AUDIO_SECONDS: 1.0,
    }  # fmt: skip
    assert send._replace(attributes={}) == (
        "send down", SpanKind.PRODUCER, OWN, FRAMES, 1_010_250_000_000, 1_011_000_000_000, {}, (), (), "",
    )  # fmt: skip
    assert send.attributes == COMMON | semconv.sends("down") | {
        semconv.FRAMES: 5, semconv.AUDIO_BYTES: 32_000, semconv.MOTION_BYTES: 20_000,
    }  # fmt: skip
    assert motion._replace(attributes={}, events=()) == (
        "motion", SpanKind.CLIENT, OWN, None, 1_010_500_000_000, 1_011_000_000_000, {}, (), (), "",
    )  # fmt: skip
    assert motion.attributes == COMMON | {
        semconv.MOTION_BYTES: 20_000, semconv.MOTION_SESSION: "s1", semconv.MOTION_CREDITS: 1,
        semconv.MOTION_LEAD_MIN_SECONDS: 0.25,
    }  # fmt: skip
    assert motion.events == [
        Event("session opened", 1_010_750_000_000), Event("first motion", 1_011_000_000_000),
    ]  # fmt: skip


def test_motion_that_failed() -> None:
    """The span ends with the failure, which its status and an event have; the turn itself did not fail."""
    turn = timeline()
    turn.frames = 1
    turn.motion_asked_at, turn.motion_ended_at, turn.motion_failure = 10.5, 10.75, "connectionClosed"
    turn.audio_only, turn.forced = "connectionClosed", "audio_only"
    turn.end(12.0, "audio_only")
    motion, _, process = SPANS.of(turn)

    assert (motion.end_ns, motion.error) == (1_010_750_000_000, "connectionClosed")
    assert motion.events == [Event("failed", 1_010_750_000_000, {semconv.CODE: "connectionClosed"})]
    assert process.error == ""
    assert process.attributes[semconv.REASON] == "connectionClosed"
    assert process.attributes[semconv.FORCED] == "audio_only"


def test_motion_without_an_answer() -> None:
    """It ends with the turn; a session opened before the turn is no event of it."""
    turn = timeline()
    turn.motion_asked_at, turn.session_opened_at = 10.5, 9.0
    turn.end(12.0, "interrupted")
    motion, process = SPANS.of(turn)

    assert (motion.end_ns, motion.events, motion.error) == (1_012_000_000_000, [], "")
    assert semconv.MOTION_LEAD_MIN_SECONDS not in motion.attributes
    assert process.name == "process up", "without frames nothing is sent down"


def test_a_turn_that_failed() -> None:
    """Its error is the reason; without one, the outcome."""
    for reason in ("input_timeout", ""):
        turn = timeline()
        turn.reason = reason
        turn.end(12.0, "failed")
        [process] = SPANS.of(turn)
        assert process.error == (reason or "failed")


def test_a_turn_of_the_former_owner() -> None:
    """Its frames here begin with the first of this owner, since turn_started was another's."""
    turn = timeline()
    turn.frames, turn.last_frame_at = 2, 10.5
    turn.end(12.0, "audio_only")
    send, _ = SPANS.of(turn)

    assert (send.start_ns, send.end_ns) == (1_010_000_000_000, 1_010_500_000_000)

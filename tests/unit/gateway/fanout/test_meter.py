"""The meter of a feed: latency, turns and their first frames, measured at the writes that it is passed."""

from collections.abc import Callable

import pytest
from tests.unit.gateway.fanout.streams import GENERATION, at

from relay_gateway.fanout.batch import SharedFrame, Trace
from relay_gateway.fanout.meter import LATENCY, DeliveryMeter
from relay_gateway.fanout.traffic import DELIVERED_BYTES, DELIVERIES, FRAME_BYTES, FRAMES
from relay_gateway.fanout.turn_delivery import FIRST_AUDIO, FIRST_MOTION, TURNS
from relay_telemetry.fast_counter import FastCounters
from relay_telemetry.fast_histogram import FastHistogram
from relay_wire import events, frame
from relay_wire.frame import Codec, Flags, Frame, Kind

S = 10**9
PUBLISHED_S = 100
TRACE: Trace = (b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"")
OTHER: Trace = (b"00-" + b"c" * 32 + b"-" + b"d" * 16 + b"-01", b"vendor=1")


class Frames:
    """Frames of one conversation, numbered as they are made."""

    def __init__(self) -> None:
        self.seq = 0

    def __call__(
        self, kind: Kind, payload: bytes = b"x" * 10, *, turn: int = 1, trace: Trace | None = None
    ) -> SharedFrame:
        self.seq += 1
        made = SharedFrame(
            frame.encode(
                Frame(
                    kind,
                    Flags.NONE,
                    Codec.PCM_S16LE,
                    turn,
                    GENERATION,
                    self.seq,
                    0,
                    PUBLISHED_S * 10**6,
                    payload,
                )
            )
        )
        made.trace = trace
        return made

    def event(self, event: events.StreamEvent, *, turn: int = 1, trace: Trace | None = None) -> SharedFrame:
        return self(Kind.EVENT, events.encode(event), turn=turn, trace=trace)

    def begin(self, *, turn: int = 1, received_at_ms: int = 0, trace: Trace | None = None) -> SharedFrame:
        return self.event(events.TurnStarted(received_at_ms), turn=turn, trace=trace)

    def end(self, *, turn: int = 1, trace: Trace | None = None) -> SharedFrame:
        return self.event(events.TurnEnded("complete"), turn=turn, trace=trace)


def since(counters: FastCounters) -> Callable[[str], int]:
    """By label, what a counter has counted since now."""
    before = {label: number.value for label, number in counters._numbers.items()}
    return lambda label: counters[label].value - before[label]


def observed(histogram: FastHistogram) -> tuple[int, float]:
    """The number of observations, and their sum."""
    [family] = histogram.collect()
    values = {sample.name.rpartition("_")[2]: sample.value for sample in family.samples}
    return int(values["count"]), values["sum"]


def new_in(histogram: FastHistogram) -> Callable[[], list[float]]:
    """What a histogram has observed since now: nothing, or the sum of all."""
    count, total = observed(histogram)

    def read() -> list[float]:
        now, now_total = observed(histogram)
        return [round(now_total - total, 6)] if now > count else []

    return read


def exemplars(histogram: FastHistogram) -> set[str]:
    [family] = histogram.collect()
    return {sample.exemplar.labels["trace_id"] for sample in family.samples if sample.exemplar}


# --- traffic -------------------------------------------------------------------------------------


def test_frames_and_bytes_by_kind() -> None:
    """What was read counts once, and what was delivered once for each viewer."""
    counted = [since(each) for each in (FRAMES, FRAME_BYTES, DELIVERIES, DELIVERED_BYTES)]
    new = Frames()

    DeliveryMeter().count([new(Kind.AUDIO), new(Kind.MOTION, b"m" * 100), new(Kind.AUDIO)], 3)
    DeliveryMeter().count([new.end()], 0)

    assert [of("audio") for of in counted] == [2, 84, 6, 252]
    assert [of("motion") for of in counted] == [1, 132, 3, 396]
    assert [of("event") for of in counted] == [1, len(new.end().data), 0, 0]
    assert [of("microphone") for of in counted] == [0, 0, 0, 0]


# --- latency -------------------------------------------------------------------------------------


def test_latency_is_that_of_the_oldest_frame() -> None:
    """From its publication to the write, once for all batches of a tick."""
    meter, new, latency = DeliveryMeter(), Frames(), new_in(LATENCY)
    before = observed(LATENCY)[0]

    assert not meter.due
    meter.count([new(Kind.AUDIO), new(Kind.AUDIO)], 2)
    meter.count([new(Kind.AUDIO)], 2)
    assert meter.due
    assert meter.written(PUBLISHED_S * S + S // 100) == ()
    assert not meter.due
    assert latency() == [0.01]
    assert observed(LATENCY)[0] == before + 1


def test_latency_by_a_clock_that_is_behind() -> None:
    """It counts as none."""
    meter, new, latency = DeliveryMeter(), Frames(), new_in(LATENCY)

    meter.count([new(Kind.AUDIO)], 1)
    meter.written(0)
    assert latency() == [0.0]


def test_nothing_is_measured_without_live_viewers() -> None:
    """Nobody waited for it."""
    meter, new, latency = DeliveryMeter(), Frames(), new_in(LATENCY)

    meter.count([new.begin(), new(Kind.AUDIO)], 0)
    assert not meter.due
    meter.written(S)
    assert latency() == []


def test_the_trace_of_a_slow_frame_is_found() -> None:
    """Its observation has the trace id."""
    meter, new = DeliveryMeter(), Frames()

    meter.count([new(Kind.AUDIO, trace=TRACE)], 1)
    meter.written((PUBLISHED_S + 7) * S)
    assert "a" * 32 in exemplars(LATENCY)


# --- turns ---------------------------------------------------------------------------------------


def test_first_audio_and_first_motion() -> None:
    """From the turn's first speech to the writes that have them; frames without a payload are none."""
    meter, new = DeliveryMeter(), Frames()
    audio, motion = new_in(FIRST_AUDIO), new_in(FIRST_MOTION)

    meter.count([new.begin(received_at_ms=5000, trace=TRACE)], 1)
    meter.written(6 * S)
    meter.count([new(Kind.MOTION, b""), new(Kind.AUDIO)], 1)
    meter.written(7 * S)
    assert (audio(), motion()) == ([2.0], [])
    meter.count([new(Kind.AUDIO), new(Kind.MOTION)], 1)
    meter.written(9 * S)
    meter.count([new(Kind.MOTION)], 1)
    meter.written(10 * S)
    assert (audio(), motion()) == ([2.0], [4.0])
    assert "a" * 32 in exemplars(FIRST_AUDIO)

    meter.count([new.end()], 1)
    [turn] = meter.written(11 * S)
    assert (turn.number, turn.viewers, turn.frames) == (1, 1, 7)
    assert (turn.first_write_ns, turn.first_motion_ns, turn.last_write_ns) == (6 * S, 9 * S, 11 * S)
    assert turn.size_bytes > 7 * frame.HEADER_BYTES
    assert turn.trace == TRACE


@pytest.mark.parametrize("received_at_ms", [0, 5000])
def test_first_audio_that_no_live_viewer_got(received_at_ms: int) -> None:
    """It is not measured, nor are later frames in its place; neither is a turn of unknown speech."""
    meter, new = DeliveryMeter(), Frames()
    audio, motion = new_in(FIRST_AUDIO), new_in(FIRST_MOTION)

    meter.count([new.begin(received_at_ms=received_at_ms)], 1)
    meter.count([new(Kind.AUDIO), new(Kind.MOTION)], 0 if received_at_ms else 1)
    meter.count([new(Kind.AUDIO), new(Kind.MOTION)], 1)
    meter.written(7 * S)
    assert (audio(), motion()) == ([], [])


def test_whole_turns() -> None:
    """Counted when they end, if a live viewer received a part."""
    meter, new, turns = DeliveryMeter(), Frames(), since(TURNS)

    meter.count([new.begin(), new(Kind.AUDIO), new.end()], 2)
    meter.count([new.event(events.Interrupted("viewer"))], 2)
    assert [turn.number for turn in meter.written(S)] == [1]
    meter.count([new.begin(turn=2), new.end(turn=2)], 0)
    assert meter.due
    assert [turn.frames for turn in meter.written(S)] == [0]
    assert (turns("whole"), turns("interrupted")) == (1, 0)


def test_a_feed_that_begins_within_a_turn() -> None:
    """The turn counts; when its speech was stored is not known."""
    meter, new, turns = DeliveryMeter(), Frames(), since(TURNS)

    meter.count([new.event(events.Transcript("avatar", "hi"), turn=0)], 1)
    meter.count([new(Kind.AUDIO, turn=4)], 1)
    meter.count([new.end(turn=4)], 1)
    [turn] = meter.written(S)
    assert (turn.number, turn.received_at_ms, turn.frames) == (4, 0, 2)
    assert turns("whole") == 1


def test_a_break_interrupts_the_turn() -> None:
    """Also one whose begin it has removed; the next turn is whole."""
    meter, new, turns = DeliveryMeter(), Frames(), since(TURNS)

    meter.count([new.begin(), new(Kind.AUDIO)], 1)
    meter.restart()
    meter.count([new(Kind.AUDIO, turn=2), new.end(turn=2)], 1)
    meter.count([new.begin(turn=3), new.end(turn=3)], 1)
    ended = meter.written(S)
    assert [(turn.number, turn.interruption) for turn in ended] == [(1, "break"), (2, "break"), (3, "")]
    assert (turns("whole"), turns("interrupted")) == (1, 2)


def test_a_break_between_turns_interrupts_none() -> None:
    """Nothing of the next turn is missing."""
    meter, new = DeliveryMeter(), Frames()

    meter.restart()
    meter.count([new.begin(), new.end()], 1)
    assert [turn.interruption for turn in meter.written(S)] == [""]


def test_a_viewer_that_misses_frames_interrupts_the_turn() -> None:
    """Frames before the turn do not count; the first reason stays."""
    meter, new = DeliveryMeter(), Frames()

    meter.interrupt("slow_consumer")
    meter.miss(at(9))
    new.seq = 9
    meter.count([new.begin()], 1)
    meter.miss(at(9))
    meter.count([new.end()], 1)
    assert [turn.interruption for turn in meter.written(S)] == [""]

    meter.count([new.begin(turn=2)], 1)
    meter.miss(at(12))
    meter.interrupt("slow_consumer")
    meter.count([new.end(turn=2)], 1)
    assert [turn.interruption for turn in meter.written(S)] == ["gap"]


# --- contexts ------------------------------------------------------------------------------------


def test_the_contexts_of_one_batch_are_linked() -> None:
    """The tail of one turn and the start of the next: each turn has its own, and the other as a link."""
    meter, new = DeliveryMeter(), Frames()

    meter.count([new.begin(trace=TRACE), new(Kind.AUDIO, trace=TRACE)], 1)
    meter.count([new.end(trace=TRACE), new.begin(turn=2, trace=OTHER)], 1)
    meter.count([new(Kind.AUDIO, turn=2, trace=OTHER)], 1)
    meter.count([new.end(turn=2, trace=OTHER)], 1)
    first, second = meter.written(S)
    assert (first.trace, list(first.links)) == (TRACE, [OTHER])
    assert (second.trace, list(second.links)) == (OTHER, [TRACE])


def test_a_turn_that_is_sampled_while_it_is_delivered() -> None:
    """Its context is that of the first frame that has one; a later one is a link."""
    meter, new = DeliveryMeter(), Frames()

    meter.count([new.begin(), new(Kind.AUDIO)], 1)
    meter.count([new(Kind.AUDIO, trace=TRACE)], 1)
    meter.count([new(Kind.AUDIO, trace=OTHER)], 1)
    meter.count([new(Kind.AUDIO, turn=0, trace=OTHER), new.end(trace=OTHER)], 1)
    [turn] = meter.written(S)
    assert (turn.trace, list(turn.links)) == (TRACE, [OTHER])


def test_what_a_log_line_has_of_the_present_turn() -> None:
    """Its number, and the id of its trace once a frame has carried one; outside of turns nothing."""
    meter, new = DeliveryMeter(), Frames()

    assert meter.log_fields() == {}
    meter.count([new.begin()], 1)
    assert meter.log_fields() == {"turn": 1}
    meter.count([new(Kind.AUDIO, trace=TRACE)], 1)
    assert meter.log_fields() == {"turn": 1, "trace_id": "a" * 32}
    meter.count([new.end()], 1)
    assert meter.log_fields() == {}


# --- the end -------------------------------------------------------------------------------------


def test_a_closed_meter_returns_the_turn_that_has_not_ended() -> None:
    """It is not counted."""
    meter, new, turns = DeliveryMeter(), Frames(), since(TURNS)

    meter.count([new.begin(), new(Kind.AUDIO)], 1)
    meter.written(S)
    turn = meter.close()
    assert turn is not None
    assert turn.frames == 2
    assert meter.close() is None
    assert (turns("whole"), turns("interrupted")) == (0, 0)

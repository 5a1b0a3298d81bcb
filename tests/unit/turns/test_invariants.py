"""The turn machine under any sequence of inputs: the rules as invariants, checked independently of it."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay_turns.effects import Abandon, Deferred, Discard, Effect, Publish, SendAudio
from relay_turns.machine import TurnMachine
from relay_turns.rules import Rules
from relay_turns.state import TurnState
from relay_wire import events
from relay_wire.frame import Kind
from relay_wire.pcm import duration_ms
from relay_wire.position import Position

RULES = Rules(sample_rate=8000)


def weighted(*choices: tuple[int, Any]) -> st.SearchStrategy[Any]:
    """Weighted choices, so that most sequences reach late states of turns."""
    return st.sampled_from([choice for weight, choice in choices for _ in range(weight)])


# Turns are relative to the one that can be spoken now, requests to the last one opened.
STEPS: dict[str, st.SearchStrategy[Any]] = {
    "audio": st.tuples(
        weighted((12, 0), (2, 1), (1, 2), (1, -1)),
        weighted((1, 0), (1, 2), (2, 4000), (4, 16000), (1, 80000)),
        weighted((4, False), (1, True)),
        weighted((6, False), (1, True)),
        weighted((6, None), (2, 0), (3, 1), (1, 2)),
    ),
    "motion": st.tuples(
        weighted((8, 0), (1, -1), (1, -2)), weighted((1, 0), (9, 3)), weighted((3, False), (1, True))
    ),
    "wait": st.tuples(st.floats(0.01, 12)),
    "playback": st.tuples(
        weighted((4, 0), (1, 1)),
        weighted((1, "started"), (1, "stalled"), (2, "finished")),
        st.integers(-9, 9999),
    ),
    "failed": st.just(()),
    "emit": st.just(()),
    "interrupt": st.tuples(weighted((4, 0), (1, -1), (2, 1))),
    "owner_change": st.just(()),
}
inputs = weighted(
    (12, "audio"),
    (9, "motion"),
    (4, "wait"),
    (3, "playback"),
    (1, "failed"),
    (1, "emit"),
    (1, "interrupt"),
    (1, "owner_change"),
).flatmap(lambda name: STEPS[name].map(lambda values: (name, *values)))


@dataclass
class Driver:
    """Feeds a machine, plays Motion Server's part, keeps the time, and records the effects."""

    machine: TurnMachine = field(default_factory=lambda: TurnMachine(RULES))
    now: float = 0.0
    generation: int = 1
    frames: list[Publish] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    admitted: dict[int, bytes] = field(default_factory=lambda: defaultdict(bytes))
    barged_in: set[int] = field(default_factory=set)
    rendered: set[int] = field(default_factory=set)
    """Turns whose motion came with their audio."""
    due: list[int] = field(default_factory=list)
    """Turns that an interrupt concerned, by the order of interrupts."""
    cancelled: int = 0
    began_cancelled: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    """The turn of each request Motion Server has seen, in order; a request's id is its index."""

    def start(self) -> None:
        self.record(self.machine.start(self.now, Position(0, 0)))

    def feed(self, step: tuple[Any, ...]) -> None:
        current = self.machine.turn
        match step:
            case ("audio", delta, size, end, barge_in, payloads):
                pcm = bytes([len(self.frames) % 251]) * size
                is_open = self.machine.state.input_state == "open"
                open_turn = current if is_open else max(current, self.cancelled) + 1
                turn = max(open_turn + delta, 1)
                motion = None if payloads is None else (bytes([turn]),) * payloads
                self.audio(turn, pcm, end=end, barge_in=barge_in, motion=motion)
            case ("motion", back, size, last):
                self.motion(len(self.requests) - 1 + back, size, last=last)
            case (("failed" | "emit") as what,):
                error = events.Error("x", "y", retryable=True)
                failed = what == "failed"
                self.record(
                    self.machine.motion_failed(self.now, "failed", error)
                    if failed
                    else self.machine.emit(error)
                )
            case ("interrupt", delta):
                self.cancelled = max(self.cancelled, current + delta)
                if delta >= 0:
                    self.due.append(current)
                self.record(self.machine.interrupt(self.now, current + delta, "viewer"))
            case ("playback", delta, state, position_ms):
                effects = self.machine.playback(
                    self.now, current + delta, state, position_ms, viewer=f"viewer-{position_ms % 3}"
                )
                self.record(effects)
            case ("wait", seconds):
                self.now += seconds
                self.record(self.machine.tick(self.now))
            case ("owner_change",):
                checkpoint = TurnState.decode(self.machine.state.encode())
                self.machine = TurnMachine(RULES, checkpoint)
                self.generation += 1
                self.record(self.machine.start(self.now, Position(self.generation, 9)))

    def audio(
        self, turn: int, pcm: bytes, *, end: bool, barge_in: bool, motion: tuple[bytes, ...] | None = None
    ) -> None:
        was = self.machine.state
        effects = self.machine.audio(self.now, turn, pcm, end=end, barge_in=barge_in, motion=motion)
        starts = turn > was.turn
        if isinstance(effects, Deferred):
            assert starts and not barge_in and was.phase in ("speaking", "playing")  # noqa: PT018
            assert self.machine.state is was, "deferred audio changes nothing"
            return
        if effects == [Discard("audio", "not_admitted")]:
            assert turn <= max(was.turn, self.cancelled), "only what is over is not admitted"
            assert turn != was.turn or was.input_state != "open"
            return
        self.admitted[turn] += pcm
        if starts and motion is not None:
            self.rendered.add(turn)
        if starts and barge_in:
            self.barged_in.add(turn)
        if starts and turn <= self.cancelled:
            self.began_cancelled.append(turn)
        self.record(effects)
        for index, effect in enumerate(effects):
            if isinstance(effect, SendAudio):
                assert turn not in self.rendered, "a turn with its motion sends nothing to Motion Server"
                assert (effect.turn, effect.pcm, effect.end) == (turn, pcm, end)
                before = effects[:index]
                assert any(
                    isinstance(e, Publish) and e.payload == pcm and e.kind is Kind.AUDIO for e in before
                )
                if turn not in self.requests:
                    self.requests.append(turn)
                    self.machine.request_opened(turn, str(len(self.requests) - 1))

    def motion(self, request: int, size: int, *, last: bool) -> None:
        turn = self.requests[request] if 0 <= request < len(self.requests) else 0
        payload = turn.to_bytes(1, "big") * size
        self.record(self.machine.motion(self.now, str(request), payload, last=last))

    def record(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Publish | SendAudio | Abandon | Discard)
            if isinstance(effect, Publish):
                self.frames.append(effect)
                self.times.append(self.now)
        if self.machine.phase in ("speaking", "playing"):
            assert self.machine.deadline is not None, "nothing is waited for without a bound"

    def finish(self) -> None:
        """Nothing else happens: only time passes, then the conversation ends."""
        for _ in range(20):
            if self.machine.deadline is None:
                break
            self.now = max(self.now, self.machine.deadline)
            self.record(self.machine.tick(self.now))
        assert self.machine.phase == "idle", "left alone, every turn ends"
        self.record(self.machine.close(self.now, "deleted"))


def event_of(frame: Publish) -> object:
    return events.decode(frame.payload) if frame.kind is Kind.EVENT else None


def check_turn(frames: list[Publish], admitted: bytes, turn: int) -> None:
    """The rules of one turn, read off its frames alone."""
    kinds = [frame.kind for frame in frames]
    published = [event_of(frame) for frame in frames]
    audio = [i for i, kind in enumerate(kinds) if kind is Kind.AUDIO]
    motion = [i for i, kind in enumerate(kinds) if kind is Kind.MOTION]
    ended = [i for i, event in enumerate(published) if isinstance(event, events.TurnEnded)]
    interrupted = [i for i, event in enumerate(published) if isinstance(event, events.Interrupted)]
    switches = [i for i, event in enumerate(published) if isinstance(event, events.AudioOnly)]

    assert isinstance(published[0], events.TurnStarted), "a turn starts once, first"
    assert sum(isinstance(event, events.TurnStarted) for event in published) == 1
    assert len(ended) == 1, "a turn ends once, in every outcome"
    assert [i for i in audio if frames[i].end] == audio[-1:], "exactly one END audio, the last"
    assert b"".join(frames[i].payload for i in audio) == admitted, "audio goes out once, whole, in order"
    assert all(audio[0] < i for i in motion), "audio before any motion"
    assert [i for i in motion if not frames[i].payload] == [i + 1 for i in switches], (
        "the event, then the switch"
    )
    assert all(frames[i].end for i in motion if not frames[i].payload), "the switch is the end"
    assert sum(frames[i].end for i in motion) <= 1, "motion ends once"
    assert all(i == motion[-1] for i in motion if frames[i].end), "nothing after the motion's end"
    assert all(set(frames[i].payload) <= {turn} for i in motion), "no motion of another turn"
    assert len(interrupted) <= 1, "interrupted once at most"
    assert all(i < ended[0] for i in audio + motion), "only an interrupt can follow the end"
    assert audio[-1] < min(interrupted, default=len(frames)), "no audio after the interrupt"
    outcome = published[ended[0]]
    assert isinstance(outcome, events.TurnEnded)
    if outcome.outcome == "complete" and admitted:
        assert frames[motion[-1]].end and not switches, "complete has all its motion"  # noqa: PT018
    media_bytes = 0
    for frame in frames:
        assert frame.media_ms == duration_ms(media_bytes, RULES.sample_rate), (
            "media_ms counts what came before"
        )
        media_bytes += len(frame.payload) if frame.kind is Kind.AUDIO else 0


def check_order(driver: Driver) -> None:
    """The rules between turns."""
    inside = [frame.turn for frame in driver.frames if frame.turn]
    assert inside == sorted(inside), "turns do not interleave"
    assert not driver.began_cancelled, "a cancelled turn never begins"
    first_audio_at: dict[int, float] = {}
    previous, interrupted = 0, set[int]()
    for frame, at in zip(driver.frames, driver.times, strict=True):
        event = event_of(frame)
        if frame.kind is Kind.AUDIO and frame.payload:
            first_audio_at.setdefault(frame.turn, at)
        if isinstance(event, events.TurnStarted):
            if frame.turn in driver.barged_in:
                assert previous in (0, *interrupted), "a barge-in interrupts what may still play"
            elif previous in first_audio_at and previous not in interrupted:
                played_s = duration_ms(len(driver.admitted[previous]), RULES.sample_rate) / 1000
                assert at >= first_audio_at[previous] + played_s, (
                    "a turn waits for the one before to have played"
                )
            previous = frame.turn
        if isinstance(event, events.Interrupted):
            assert frame.turn not in interrupted, "published once"
            assert frame.turn == previous, "published before anything of the next turn"
            interrupted.add(frame.turn)
    assert set(driver.due) - {0} <= interrupted, "an interrupt of the last turn is published at any time"
    assert isinstance(event_of(driver.frames[-1]), events.ConversationEnded)


@given(st.lists(inputs, min_size=20, max_size=60))
@settings(max_examples=100)
def test_rules_hold_for_any_sequence(steps: list[tuple[Any, ...]]) -> None:
    """Whatever arrives in whatever order, also across owners, every rule of the design holds."""
    driver = Driver()
    driver.start()
    for step in steps:
        driver.feed(step)
    driver.finish()

    for turn in {frame.turn for frame in driver.frames} - {0}:
        check_turn([frame for frame in driver.frames if frame.turn == turn], driver.admitted[turn], turn)
    check_order(driver)

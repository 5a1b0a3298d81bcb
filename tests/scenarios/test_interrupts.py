"""Interrupts in every order: a backend, an agent that knows little and late, viewers, and an owner that
reads when it likes.

The steps are the real scripts on a real server and the real turn machine. The checks are of the up stream
and of what was published, from outside.
"""

from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from relay_streams.keys import KeySpace
from relay_streams.scripts.append_speech import SpeakerFence, append_speech
from relay_streams.scripts.append_uplink import append_uplink
from relay_streams.scripts.call import Call
from relay_turns.effects import Deferred, Effect, Publish
from relay_turns.machine import TurnMachine
from relay_turns.rules import Rules
from relay_wire import events, uplink
from relay_wire.frame import Kind
from relay_wire.position import START

KEYS = KeySpace(1).conversation("01JDMODEL")
GENERATION = 7
LIMITS = (4096, 10_000_000)
PCM = b"\x01\x02" * 800


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.url) as made:
        yield made


def number(entry_id: str) -> tuple[int, int]:
    milliseconds, _, count = entry_id.partition("-")
    return int(milliseconds), int(count)


class Interrupts(RuleBasedStateMachine):
    """Steps in any order; an owner as far as interrupts concern it."""

    client: Any

    @initialize(talk_over=st.sampled_from(["never", "requests", "always"]))
    def begin(self, talk_over: str) -> None:
        self.client.flushall()
        self.client.hset(
            KEYS.meta, mapping={"state": "open", "generation": GENERATION, "talk_over": talk_over}
        )
        self.machine = TurnMachine(Rules(sample_rate=16000))
        self.frames: list[Publish] = []
        self.stopped: set[int] = set()
        """Turns whose interrupt was published."""
        self.now = 0.0
        self.take(self.machine.start(self.now, START))
        self.read = 0
        self.held: int | None = None
        self.consumed = "0-0"
        self.decided: str | None = None
        """What the owner had consumed when the agent decided."""
        self.turns: dict[str, tuple[int, int]] = {}
        """Of backend and agent: the open turn and its offset."""
        self.openings: list[tuple[int, str]] = []
        """The agent's turns, and what it knew then."""

    # --- who talks -----------------------------------------------------------------------------

    @rule(end=st.booleans(), barge_in=st.booleans())
    def backend_speaks(self, end: bool, barge_in: bool) -> None:  # noqa: FBT001
        self.speak("backend", end=end, barge_in=barge_in, generation=0, consumed="")

    @rule()
    def agent_makes_up_its_mind(self) -> None:
        if "agent" not in self.turns:
            self.decided = self.consumed

    @rule(end=st.booleans(), barge_in=st.booleans())
    def agent_speaks(self, end: bool, barge_in: bool) -> None:  # noqa: FBT001
        if self.decided is None:
            return
        opens = "agent" not in self.turns
        turn = self.speak("agent", end=end, barge_in=barge_in, generation=GENERATION, consumed=self.decided)
        if opens and turn:
            self.openings.append((turn, self.decided))
        if "agent" not in self.turns:
            self.decided = None

    def speak(self, who: str, *, end: bool, barge_in: bool, generation: int, consumed: str) -> int:
        turn, offset = self.turns.get(who, (0, 0))
        reply = self.run(
            append_speech(
                KEYS, [PCM], turn=turn, key="", offset=offset, end=end, barge_in=barge_in, trace="",
                silence_ms=60_000, limits=LIMITS, viewer_limits=None,
                fence=SpeakerFence(generation, consumed) if generation else None,
            )
        )  # fmt: skip
        if reply[0] == b"in" and not end:
            self.turns[who] = (reply[1], reply[2])
        else:
            self.turns.pop(who, None)
        return int(reply[1]) if reply[0] == b"in" else 0

    @rule(
        entry=st.sampled_from(
            [
                uplink.Interrupt(reason="viewer"),
                uplink.Text("hm"),
                uplink.Microphone(b"hm"),
                uplink.ClipRequest("hm"),
            ]
        )
    )
    def viewer_sends(self, entry: uplink.Message) -> None:
        call = append_uplink(KEYS, entry, generation=None, limits=LIMITS, viewer_limits=LIMITS)
        assert self.run(call)[0] == b"ok"

    def run(self, call: Call[Any]) -> Any:
        return self.client.execute_command(
            "EVAL", call.script.text, len(call.keys), *call.keys, *call.arguments
        )

    # --- the owner -----------------------------------------------------------------------------

    @rule(count=st.integers(1, 6))
    def owner_reads(self, count: int) -> None:
        for index, (entry_id, fields) in enumerate(self.entries()):
            if index < self.read or count == 0:
                continue
            self.read, count = index + 1, count - 1
            self.act(index, entry_id, uplink.decode(fields))
            if self.held is not None and self.machine.phase == "idle":
                self.read, self.held = self.held, None
                return

    def act(self, index: int, entry_id: str, event: uplink.Entry) -> None:
        if isinstance(event, uplink.SpeechChunk):
            before = self.machine.turn
            effects = self.machine.audio(
                self.now, event.turn, event.pcm, offset=event.offset, end=event.end, barge_in=event.barge_in
            )
            if isinstance(effects, Deferred):
                self.held = index if self.held is None else self.held
                return
            if self.machine.turn != before:
                self.held = None
            self.take(effects)
        elif number(entry_id) > number(self.consumed) and isinstance(event, uplink.Interrupt):
            self.apply_interrupt(event.upto, event.reason)
        self.consumed = max(self.consumed, entry_id, key=number)

    def apply_interrupt(self, upto: int, reason: str) -> None:
        turn = self.machine.turn
        stops = 0 < turn <= upto and turn not in self.stopped
        effects = self.machine.interrupt(self.now, upto, reason)
        published = [
            e for e in effects if isinstance(e, Publish) and isinstance(event_of(e), events.Interrupted)
        ]
        assert [e.turn for e in published] == ([turn] if stops else []), "once, when it may still sound"
        self.take(effects)

    @rule()
    def owner_looks_ahead(self) -> None:
        upto, reason = self.client.hmget(KEYS.meta, "in_stopped", "in_stop_reason")
        self.apply_interrupt(int(upto or 0), (reason or b"").decode())

    @rule()
    def motion_is_complete(self) -> None:
        if self.machine.phase == "speaking":
            self.take(self.machine.motion_failed(self.now, "none"))

    @rule(seconds=st.floats(0.1, 3))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.machine.tick(self.now))
        if self.held is not None and self.machine.phase == "idle":
            self.read, self.held = self.held, None

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Publish):
                self.frames.append(effect)
                if isinstance(event_of(effect), events.Interrupted):
                    self.stopped.add(effect.turn)

    def entries(self) -> list[tuple[str, dict[bytes, bytes]]]:
        return [(entry.decode(), fields) for entry, fields in self.client.xrange(KEYS.up)]

    # --- what must hold ------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "frames"):
            return
        entries = [(entry_id, uplink.decode(fields)) for entry_id, fields in self.entries()]
        self.check_no_agent_spoke_into_silence(entries)
        self.check_interrupts_cancel_what_was_opened(entries)
        self.check_each_turn()

    def check_no_agent_spoke_into_silence(self, entries: list[tuple[str, uplink.Entry]]) -> None:
        opened_at: dict[int, str] = {}
        for entry_id, event in entries:
            if isinstance(event, uplink.SpeechChunk):
                opened_at.setdefault(event.turn, entry_id)
        agents = dict(self.openings)
        for turn, knew in agents.items():
            for entry_id, event in entries:
                stops = isinstance(event, uplink.Interrupt) or (
                    isinstance(event, uplink.SpeechChunk) and event.barge_in and event.turn not in agents
                )
                missed = number(knew) < number(entry_id) < number(opened_at[turn])
                assert not (stops and missed), f"turn {turn} was meant for before {type(event).__name__}"

    def check_interrupts_cancel_what_was_opened(self, entries: list[tuple[str, uplink.Entry]]) -> None:
        opened = 0
        for _, event in entries:
            if isinstance(event, uplink.SpeechChunk):
                opened = max(opened, event.turn)
            elif isinstance(event, uplink.Interrupt):
                assert event.upto == opened, "every turn so far, whoever asked for it"

    def check_each_turn(self) -> None:
        for turn in {frame.turn for frame in self.frames} - {0}:
            frames = [frame for frame in self.frames if frame.turn == turn]
            published = [i for i, f in enumerate(frames) if isinstance(event_of(f), events.Interrupted)]
            assert len(published) <= 1, "interrupted once at most"
            late = frames[published[0] :] if published else []
            assert all(frame.kind is Kind.EVENT for frame in late), "not a word after it"
            assert sum(f.end for f in frames if f.kind is Kind.AUDIO) <= 1
            if published:
                assert sum(f.end for f in frames if f.kind is Kind.AUDIO) == 1, "closed for the players"


def event_of(frame: Publish) -> object:
    return events.decode(frame.payload) if frame.kind is Kind.EVENT else None


def test_interrupts_in_every_order(client) -> None:
    """One `interrupted` for what sounds, silence after it, and no answer to a question that was withdrawn."""
    run_state_machine_as_test(
        type("Bound", (Interrupts,), {"client": client}),
        settings=settings(
            max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

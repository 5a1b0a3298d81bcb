"""The vendor's client over random conversations: whatever happens, its controller's rules hold."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rigs.avatar_client import AvatarClient
from tests.unit.turns.test_invariants import Driver, event_of, inputs

from relay_turns.effects import Effect, Publish
from relay_wire import events, frame
from relay_wire.avatarkit.rounds import Rounds
from relay_wire.avatarkit.texts import VendorMessages, translate
from relay_wire.frame import Codec, Flags, Frame, Kind


@dataclass
class Recorder(Driver):
    """Also notes where viewers can join: after every write, and their start position then."""

    entrances: list[int] = field(default_factory=lambda: [0])

    def record(self, effects: list[Effect]) -> None:
        super().record(effects)
        behind = len(self.frames)
        speaking = self.machine.phase == "speaking"
        self.entrances.append(self.turn_start(behind) if speaking else behind)

    def turn_start(self, behind: int) -> int:
        """Where the turn begins that is the last one before this frame."""
        starts = [i for i in range(behind) if isinstance(event_of(self.frames[i]), events.TurnStarted)]
        return starts[-1] if starts else behind

    def received(self) -> list[VendorMessages]:
        return [translate(_encoded(publish, seq)) for seq, publish in enumerate(self.frames, 1)]


def _encoded(publish: Publish, seq: int) -> bytes:
    flags = Flags.END if publish.end else Flags.NONE
    return frame.encode(
        Frame(publish.kind, flags, Codec.PCM_S16LE, publish.turn, 1, seq, 0, 0, publish.payload)
    )


def listen(received: list[VendorMessages], start: int, misses: dict[int, int]) -> AvatarClient:
    """A client from there on; where it misses frames, it continues that many later."""
    client, rounds, at = AvatarClient(), Rounds(), start
    while at < len(received):
        skipped = misses.pop(at, 0)
        texts = rounds.miss() if skipped else rounds.follow(received[at])
        at += skipped or 1
        for text in texts:
            client.receive(text)
    for text in rounds.miss():
        client.receive(text)
    return client


def check(client: AvatarClient) -> None:
    """What must hold for every client, whatever it missed; the controller has checked the rest."""
    assert set(client.closings.values()) <= {1}, "exactly one closing audio per turn"
    assert all(len(rounds) == 1 for rounds in client.turns.values()), "a turn is one round"
    assert len(client.controller.rounds) == len(client.turns), "and a round is one turn"
    assert all(r.ended for r in client.controller.rounds), "no avatar is left waiting"


@given(st.lists(inputs, min_size=20, max_size=60), st.data())
@settings(max_examples=300)
def test_the_controllers_rules_hold(steps: list[tuple[Any, ...]], data: st.DataObject) -> None:
    """For who is there from the start, who comes in or comes back anywhere, and who misses frames."""
    driver = Recorder()
    driver.start()
    for step in steps:
        driver.feed(step)
    driver.finish()
    received = driver.received()

    whole = listen(received, 0, {})
    check(whole)
    played = {int(turn): whole.controller.rounds[ids[0] - 1] for turn, ids in whole.turns.items()}
    assert {turn: each.audio for turn, each in played.items()} == {
        publish.turn: driver.admitted[publish.turn] for publish in driver.frames if publish.turn
    }
    for turn, each in played.items():
        motion = [p.payload for p in driver.frames if p.turn == turn and p.kind is Kind.MOTION and p.payload]
        assert each.frames == motion
    events_published = [event_of(publish) for publish in driver.frames]
    assert len(whole.interrupts) == sum(isinstance(event, events.Interrupted) for event in events_published)

    for start in data.draw(st.lists(st.sampled_from(driver.entrances), max_size=3)):
        check(listen(received, start, {}))
    places = st.integers(0, len(received))
    misses = data.draw(st.dictionaries(places, st.integers(1, 9), max_size=4))
    check(listen(received, data.draw(st.sampled_from(driver.entrances)), misses))


def test_a_client_that_comes_back_in_mid_turn_gets_it_from_its_start() -> None:
    """Or, when that is gone, nothing of it; the next turn is whole."""
    driver = Recorder()
    driver.start()
    driver.audio(1, b"ab", end=False, barge_in=False)
    [*_, start] = driver.entrances
    driver.audio(1, b"cd", end=True, barge_in=False)
    driver.record(driver.machine.interrupt(0, 1, "viewer"))
    driver.audio(2, b"ef", end=True, barge_in=False)
    received = driver.received()

    again, late = listen(received, start, {}), listen(received, start + 2, {})

    assert [r.audio for r in again.controller.rounds] == [b"abcd", b"ef"]
    assert [r.audio for r in late.controller.rounds] == [b"ef"]
    assert late.interrupts == []


def test_a_miss_closes_the_round() -> None:
    """The avatar rests, the rest of the turn is skipped, and the client receives an error."""
    driver = Recorder()
    driver.start()
    for pcm in (b"ab", b"cd", b"ef"):
        driver.audio(1, pcm, end=pcm == b"ef", barge_in=False)
    received = driver.received()

    client = listen(received, 0, {len(received) - 2: 1})

    assert [(r.audio, r.ended) for r in client.controller.rounds] == [(b"ab", True)]
    assert len(client.messages_of("status")) == 2, "once for the frames, once at the end"


def test_a_client_is_idle_between_turns() -> None:
    """From its turn's first frame to its last, motion after the closing audio included, it is not."""
    driver = Recorder()
    driver.start()
    driver.audio(1, b"ab", end=False, barge_in=False)
    driver.audio(1, b"cd", end=True, barge_in=False)
    driver.finish()
    rounds = Rounds()
    assert rounds.idle

    idle: dict[str, list[bool]] = {}
    for received in driver.received():
        rounds.follow(received)
        idle.setdefault(received.step, []).append(rounds.idle)

    assert idle["starts"] == [False]
    assert not any(idle["audio"] + idle["ends"])
    assert idle["over"] == [True]

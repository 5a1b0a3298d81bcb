"""The turn machine after a change of owners: continued from the checkpoint, each byte of audio once."""

from tests.rigs.turn_machine import NOT_ADMITTED, RULES, SECOND, speaking, summary

from relay_turns.effects import Publish
from relay_turns.machine import TurnMachine
from relay_turns.state import TurnState
from relay_wire import events
from relay_wire.frame import Kind
from relay_wire.position import START, Position


class TestTakeOver:
    """The next owner continues from the checkpoint."""

    def next_owner(self, machine: TurnMachine) -> TurnMachine:
        return TurnMachine(RULES, TurnState.decode(machine.state.encode()))

    def test_a_new_conversation(self, machine: TurnMachine) -> None:
        """The first owner publishes that it is the first."""
        assert machine.start(0, START) == [
            Publish(Kind.EVENT, 0, events.encode(events.OwnerChanged("0-0")), 0)
        ]

    def test_in_mid_turn(self, machine: TurnMachine) -> None:
        """The turn continues as audio, its counting continues, and it ends once."""
        speaking(machine)
        machine.motion(1, "req-1", b"m", last=False)
        after = self.next_owner(machine)

        assert summary(after.start(100, Position(5, 9))) == [
            "OwnerChanged", "abandon", "AudioOnly owner_changed", "motion 0 END",
        ]  # fmt: skip
        effects = after.audio(101, 1, b"ab", end=True)
        assert summary(effects) == ["audio 2 END", "TurnEnded audio_only"]
        assert [effect.media_ms for effect in effects if isinstance(effect, Publish)] == [1000, 1000]

    def test_after_the_end_of_audio(self, machine: TurnMachine) -> None:
        """No second END audio: only the motion was still due."""
        machine.audio(0, 1, SECOND, end=True)
        after = self.next_owner(machine)

        assert summary(after.start(100, Position(5, 9)))[1:] == [
            "abandon", "AudioOnly owner_changed", "motion 0 END", "TurnEnded audio_only",
        ]  # fmt: skip

    def test_before_the_first_audio(self) -> None:
        """The switch waits for audio: audio comes before any motion, even an empty one."""
        after = TurnMachine(RULES, TurnState(turn=1, phase="speaking"))

        assert summary(after.start(0, Position(5, 9))) == ["OwnerChanged", "abandon"]
        assert summary(after.audio(1, 1, b"ab")) == ["audio 2", "AudioOnly owner_changed", "motion 0 END"]

    def test_while_playing(self, machine: TurnMachine) -> None:
        """Nothing of the turn is repeated, and the next one still waits."""
        machine.audio(0, 1, SECOND * 3, end=True)
        machine.request_opened(1, "r")
        machine.motion(0, "r", b"m", last=True)
        after = self.next_owner(machine)

        assert summary(after.start(100, Position(5, 9))) == ["OwnerChanged"]
        assert summary(after.audio(0, 2, SECOND)) == ["deferred"]
        assert after.deadline == 103.5

    def test_an_interrupt_is_not_repeated(self, machine: TurnMachine) -> None:
        """A second reading of the interrupt's entry publishes nothing."""
        speaking(machine)
        machine.interrupt(1, 2, "viewer")
        after = self.next_owner(machine)
        after.start(100, Position(5, 9))

        assert summary(after.interrupt(101, 2, "viewer")) == []
        assert summary(after.audio(0, 2, SECOND)) == NOT_ADMITTED

    def test_the_next_turn_has_motion_again(self, machine: TurnMachine) -> None:
        """Audio-only does not outlive its turn."""
        speaking(machine)
        after = self.next_owner(machine)
        after.start(100, Position(5, 9))
        after.audio(100, 1, b"", end=True)
        after.tick(200)

        assert summary(after.audio(200, 2, SECOND)) == ["TurnStarted", "audio 32000", "send 32000"]


def test_audio_that_comes_again_is_published_once(machine: TurnMachine) -> None:
    """A speaker that repeats after a fail-over: the published part is cut off by its offset."""
    assert summary(machine.audio(0, 1, b"abcd", offset=0)) == ["TurnStarted", "audio 4", "send 4"]
    assert summary(machine.audio(0, 1, b"abcd", offset=0)) == ["discard audio repeated"]
    assert summary(machine.audio(0, 1, b"cdef", offset=2)) == ["audio 2", "send 2"]
    assert summary(machine.audio(0, 1, b"ef", offset=4, end=True)) == ["audio 0 END", "send 0 end"]
    assert machine.state.offset == 6
    assert machine.state.input_state == "ended"


def test_missing_audio_is_reported(machine: TurnMachine) -> None:
    """A hole in a turn's audio is an error and fails the turn; the audio after it is published."""
    machine.audio(0, 1, b"abcd", offset=0)
    assert summary(machine.audio(0, 1, b"ij", offset=8)) == ["Error audio_missing", "audio 2", "send 2"]
    again = TurnMachine(RULES, TurnState.decode(machine.state.encode()))
    again.start(0, START)
    assert summary(again.audio(0, 1, b"kl", offset=10, end=True)) == ["audio 2 END", "TurnEnded failed"]


def test_a_turn_whose_beginning_is_missing(machine: TurnMachine) -> None:
    """The first chunk seen is not the first: the turn begins, and an event reports what is missing."""
    assert summary(machine.audio(0, 1, b"cd", offset=2)) == [
        "TurnStarted", "Error audio_missing", "audio 2", "send 2",
    ]  # fmt: skip

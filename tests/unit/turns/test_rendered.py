"""The turn machine with turns whose chunks have their motion: clips that were rendered before."""

from tests.rigs.turn_machine import NOT_ADMITTED, RULES, SECOND, playing, speaking, summary

from relay_turns.machine import TurnMachine
from relay_turns.state import TurnState
from relay_wire.frame import MAX_MOTION_BYTES
from relay_wire.position import Position


def rendering(machine: TurnMachine, turn: int = 1) -> None:
    """A clip of which the first second is published."""
    machine.audio(0, turn, SECOND, offset=0, motion=(b"m1",))


def next_owner(machine: TurnMachine) -> TurnMachine:
    """The owner after a change in mid-turn."""
    return TurnMachine(RULES, TurnState.decode(machine.state.encode()))


def test_a_whole_turn(machine: TurnMachine) -> None:
    """Each chunk's motion follows its audio; nothing is sent to Motion Server; both ends end the turn."""
    first = machine.audio(0, 1, SECOND, motion=(b"m1", b"m22"))
    second = machine.audio(0, 1, SECOND, motion=())
    last = machine.audio(0, 1, b"ab", end=True, motion=(b"m3", b"m4"))

    assert summary(first) == ["TurnStarted", "audio 32000", "motion 2", "motion 3"]
    assert summary(second) == ["audio 32000"]
    assert summary(last) == ["audio 2 END", "motion 2", "motion 2 END", "TurnEnded complete"]


def test_the_last_motion_may_come_behind_all_audio(machine: TurnMachine) -> None:
    """An end without audio of its own brings the rest of the motion."""
    rendering(machine)

    effects = machine.audio(0, 1, b"", offset=len(SECOND), end=True, motion=(b"m2",))
    assert summary(effects) == ["audio 0 END", "motion 2 END", "TurnEnded complete"]


def test_only_the_next_audio_is_waited_for(machine: TurnMachine) -> None:
    """Motion Server owes nothing: the deadline is that of the input."""
    rendering(machine)

    assert machine.deadline == RULES.input_timeout_s


def test_a_clip_that_stops_ends_as_audio(machine: TurnMachine) -> None:
    """Where the rest of it does not come, the turn ends with one end of each kind."""
    rendering(machine)

    assert summary(machine.tick(RULES.input_timeout_s)) == [
        "Error input_timeout", "audio 0 END", "AudioOnly motion_missing", "motion 0 END", "TurnEnded failed",
    ]  # fmt: skip


def test_a_clip_without_its_last_motion_ends_as_audio(machine: TurnMachine) -> None:
    """An end without motion leaves viewers waiting for none."""
    rendering(machine)

    assert summary(machine.audio(0, 1, b"ab", end=True, motion=())) == [
        "audio 2 END", "AudioOnly motion_missing", "motion 0 END", "TurnEnded audio_only",
    ]  # fmt: skip


def test_a_clip_without_a_sample(machine: TurnMachine) -> None:
    """There is no motion before audio, and none is waited for."""
    assert summary(machine.audio(0, 1, b"", end=True, motion=(b"m",))) == [
        "TurnStarted", "audio 0 END", "discard motion before_audio", "TurnEnded complete",
    ]  # fmt: skip


def test_motion_that_cannot_be_published(machine: TurnMachine) -> None:
    """An empty payload would be the switch to audio-only, and one that is too large fits no frame."""
    effects = machine.audio(0, 1, SECOND, motion=(b"", bytes(MAX_MOTION_BYTES + 1), b"m"))

    assert summary(effects)[2:] == ["discard motion empty", "discard motion too_large", "motion 1"]


def test_failures_of_motion_server_concern_other_turns(machine: TurnMachine) -> None:
    """A session that breaks meanwhile costs a clip nothing."""
    rendering(machine)

    assert machine.motion_failed(1, "connection_lost") == []
    assert summary(machine.motion(1, "req-1", b"m", last=True)) == ["discard motion other_turn"]


def test_an_interrupt(machine: TurnMachine) -> None:
    """The clip stops; Motion Server has nothing to abandon."""
    rendering(machine)

    assert summary(machine.interrupt(1, 1, "viewer")) == [
        "audio 0 END", "Interrupted viewer", "TurnEnded interrupted",
    ]  # fmt: skip
    assert summary(machine.audio(1, 1, SECOND, motion=(b"m2",))) == NOT_ADMITTED


def test_a_clip_barges_in(machine: TurnMachine) -> None:
    """It interrupts a turn with Motion Server, whose request is abandoned."""
    speaking(machine)

    assert summary(machine.audio(1, 2, SECOND, barge_in=True, motion=(b"m",))) == [
        "audio 0 END", "abandon", "Interrupted barge_in", "TurnEnded interrupted",
        "TurnStarted", "audio 32000", "motion 1",
    ]  # fmt: skip


def test_a_clip_waits_for_the_turn_before(machine: TurnMachine) -> None:
    """As any turn."""
    playing(machine)

    assert summary(machine.audio(1, 2, SECOND, motion=(b"m",))) == ["deferred"]


def test_the_turn_after_a_clip_asks_motion_server(machine: TurnMachine) -> None:
    """A clip decides for its turn alone."""
    machine.audio(0, 1, SECOND, end=True, motion=(b"m",))

    assert summary(machine.audio(0, 2, SECOND, barge_in=True))[-1] == "send 32000"


def test_motion_within_another_turn_is_not_published(machine: TurnMachine) -> None:
    """The first chunk decides: the motion of a turn has one source."""
    speaking(machine)

    assert summary(machine.audio(0, 1, SECOND, motion=(b"m",))) == ["audio 32000", "send 32000"]


def test_audio_within_a_clip_is_not_sent(machine: TurnMachine) -> None:
    """An end that the relay writes itself, for a speaker that is gone, has no motion."""
    rendering(machine)

    assert summary(machine.audio(0, 1, SECOND)) == ["audio 32000"]


def test_the_next_owner_continues_with_motion(machine: TurnMachine) -> None:
    """The motion of the chunks that follow is published as if nothing had happened."""
    rendering(machine)
    after = next_owner(machine)

    assert summary(after.start(100, Position(5, 9))) == ["OwnerChanged"]
    effects = after.audio(101, 1, SECOND, offset=len(SECOND), end=True, motion=(b"m2",))
    assert summary(effects) == ["audio 32000 END", "motion 2 END", "TurnEnded complete"]


def test_a_repeated_chunk_repeats_no_motion(machine: TurnMachine) -> None:
    """A chunk is published with its motion or not at all: one that is read again has neither."""
    rendering(machine)
    after = next_owner(machine)
    after.start(100, Position(5, 9))

    repeated = after.audio(101, 1, SECOND, offset=0, motion=(b"m1",))
    longer = after.audio(101, 1, SECOND + b"ab", offset=0, motion=(b"m1", b"m2"))
    assert summary(repeated) == ["discard audio repeated"]
    assert summary(longer) == ["audio 2"]

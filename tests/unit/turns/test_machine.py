"""The turn machine, rule by rule."""

import pytest
from tests.rigs.turn_machine import NOT_ADMITTED, RULES, SECOND, begins, speaking, summary

from relay_turns.effects import Publish
from relay_turns.machine import TurnMachine
from relay_wire import events
from relay_wire.frame import MAX_MOTION_BYTES


def test_a_whole_turn(machine: TurnMachine) -> None:
    """Audio is published before it is sent to Motion Server; motion follows; both ends end the turn."""
    assert summary(machine.audio(0, 1, SECOND)) == ["TurnStarted", "audio 32000", "send 32000"]
    machine.request_opened(1, "r")
    assert summary(machine.motion(1, "r", b"m1", last=False)) == ["motion 2"]
    assert summary(machine.audio(1, 1, b"ab", end=True)) == ["audio 2 END", "send 2 end"]
    assert summary(machine.motion(2, "r", b"m2", last=True)) == ["motion 2 END", "TurnEnded complete"]
    assert machine.phase == "playing"


def test_motion_may_end_before_audio(machine: TurnMachine) -> None:
    """The last motion payload overtakes the end marker: the closing audio is sent all the same."""
    speaking(machine)

    assert summary(machine.motion(1, "req-1", b"m", last=True)) == ["motion 1 END"]
    assert summary(machine.audio(1, 1, b"", end=True)) == ["audio 0 END", "TurnEnded complete"]


def test_media_ms_counts_audio_before_the_frame(machine: TurnMachine) -> None:
    """Each frame has the duration of the audio before it."""
    first = machine.audio(0, 1, SECOND)
    machine.request_opened(1, "r")
    second = machine.audio(0, 1, SECOND)
    motion = machine.motion(0, "r", b"m", last=False)

    published = [effect for effect in [*first, *second, *motion] if isinstance(effect, Publish)]
    assert [publish.media_ms for publish in published] == [0, 0, 1000, 2000]


@pytest.mark.parametrize("req_id", ["req-0", "unknown", ""])
def test_motion_of_another_request_is_discarded(machine: TurnMachine, req_id: str) -> None:
    """Late or foreign motion never reaches a viewer."""
    speaking(machine)

    assert summary(machine.motion(1, req_id, b"m", last=False)) == ["discard motion other_turn"]


def test_motion_after_its_end_is_discarded(machine: TurnMachine) -> None:
    """A second end is not published."""
    speaking(machine)
    machine.motion(1, "req-1", b"m", last=True)

    assert summary(machine.motion(1, "req-1", b"m", last=True)) == ["discard motion after_end"]


def test_empty_motion_is_discarded(machine: TurnMachine) -> None:
    """An empty payload would switch the client to audio-only for good."""
    speaking(machine)

    assert summary(machine.motion(1, "req-1", b"", last=False)) == ["discard motion empty"]


def test_motion_before_audio_is_discarded(machine: TurnMachine) -> None:
    """A turn that began without a sample: no motion is published before its audio."""
    machine.audio(0, 1, b"")
    machine.request_opened(1, "r")

    assert summary(machine.motion(0, "r", b"m", last=False)) == ["discard motion before_audio"]


def test_a_request_of_another_turn_changes_nothing(machine: TurnMachine) -> None:
    """It was opened late: motion still belongs to the current turn's request."""
    speaking(machine, turn=2)
    machine.request_opened(1, "late")

    assert summary(machine.motion(0, "late", b"m", last=False)) == ["discard motion other_turn"]
    assert summary(machine.motion(0, "req-2", b"m", last=False)) == ["motion 1"]


def test_motion_too_large_for_a_frame(machine: TurnMachine) -> None:
    """Motion ends, and the turn continues as audio."""
    speaking(machine)

    effects = machine.motion(1, "req-1", bytes(MAX_MOTION_BYTES + 1), last=False)

    assert summary(effects) == [
        "discard motion too_large",
        "abandon",
        "AudioOnly motion_too_large",
        "motion 0 END",
    ]
    assert summary(machine.motion(1, "req-1", b"m", last=False)) == ["discard motion audio_only"]


def test_motion_failure_switches_to_audio_only(machine: TurnMachine) -> None:
    """An event reports the failure, the empty motion frame is the switch, and no audio is sent any more."""
    speaking(machine)
    error = events.Error("connectionClosed", "gone", retryable=True)

    effects = machine.motion_failed(1, "connectionClosed", error)

    assert summary(effects) == [
        "Error connectionClosed",
        "abandon",
        "AudioOnly connectionClosed",
        "motion 0 END",
    ]
    assert summary(machine.audio(1, 1, b"ab", end=True)) == ["audio 2 END", "TurnEnded audio_only"]


def test_motion_failure_after_motion_is_complete_changes_nothing(machine: TurnMachine) -> None:
    """All of its motion is published."""
    speaking(machine)
    machine.motion(1, "req-1", b"m", last=True)

    assert summary(machine.motion_failed(1, "connectionClosed")) == []


def test_first_motion_watchdog(machine: TurnMachine) -> None:
    """No motion within the time after enough audio: audio-only, and the session is not trusted."""
    speaking(machine)

    assert machine.deadline == 5
    assert summary(machine.tick(4.9)) == []
    assert summary(machine.tick(5)) == ["abandon overdue", "AudioOnly motion_timeout", "motion 0 END"]


def test_the_watchdog_waits_for_a_window_of_audio(machine: TurnMachine) -> None:
    """Too little audio for a window owes no answer, unless it is all there is."""
    machine.audio(0, 1, SECOND[:1000])

    assert machine.deadline == RULES.input_timeout_s
    machine.audio(1, 1, b"", end=True)
    assert machine.deadline == 1 + RULES.first_motion_timeout_s


def test_motion_that_stalls(machine: TurnMachine) -> None:
    """After the first motion more is owed once more audio went in, or all of it."""
    speaking(machine)
    machine.motion(1, "req-1", b"m", last=False)
    assert machine.deadline == RULES.input_timeout_s

    machine.audio(2, 1, SECOND, end=True)

    assert machine.deadline == 12
    assert summary(machine.tick(12)) == [
        "abandon overdue", "AudioOnly motion_stalled", "motion 0 END", "TurnEnded audio_only",
    ]  # fmt: skip


def test_motion_resets_the_stall_watchdog(machine: TurnMachine) -> None:
    """Each payload starts the wait anew."""
    speaking(machine)
    machine.audio(1, 1, b"", end=True)
    machine.motion(9, "req-1", b"m", last=False)

    assert machine.deadline == 19


def test_input_that_stops(machine: TurnMachine) -> None:
    """A speaker that falls silent: the turn's audio is ended, its motion may still come, it failed."""
    speaking(machine)
    machine.motion(1, "req-1", b"m", last=False)

    assert summary(machine.tick(30)) == ["Error input_timeout", "audio 0 END", "send 0 end"]
    assert summary(machine.motion(31, "req-1", b"m", last=True)) == ["motion 1 END", "TurnEnded failed"]


def test_an_interrupted_turn_is_closed_in_order(machine: TurnMachine) -> None:
    """END audio comes before `interrupted`: audio after a client's interrupt() would open a new round."""
    speaking(machine)

    effects = machine.interrupt(1, 1, "viewer")

    assert summary(effects) == ["audio 0 END", "abandon", "Interrupted viewer", "TurnEnded interrupted"]
    assert machine.phase == "idle"
    assert summary(machine.motion(2, "req-1", b"m", last=False)) == ["discard motion other_turn"]
    assert summary(machine.audio(2, 1, b"ab")) == ["discard audio not_admitted"]


def test_interrupting_what_still_plays(machine: TurnMachine) -> None:
    """All frames are published: only `interrupted` follows, once."""
    speaking(machine)
    machine.audio(1, 1, b"", end=True)
    machine.motion(1, "req-1", b"m", last=True)

    assert summary(machine.interrupt(2, 1, "viewer")) == ["Interrupted viewer"]
    assert summary(machine.interrupt(2, 1, "viewer")) == []


def test_an_interrupt_cancels_turns_that_wait(machine: TurnMachine) -> None:
    """Turns up to the interrupt's never begin; later ones do."""
    speaking(machine)
    machine.interrupt(1, 3, "backend")

    assert summary(machine.audio(1, 2, SECOND)) == NOT_ADMITTED
    assert summary(machine.audio(1, 3, SECOND)) == NOT_ADMITTED
    assert begins(machine, 4)


def test_an_interrupt_of_an_earlier_turn_is_late(machine: TurnMachine) -> None:
    """It was meant for the turn before."""
    speaking(machine, turn=2)

    assert summary(machine.interrupt(1, 1, "viewer")) == []


def test_a_turn_without_samples(machine: TurnMachine) -> None:
    """No audio to send and no motion to wait for."""
    assert summary(machine.audio(0, 1, b"", end=True)) == ["TurnStarted", "audio 0 END", "TurnEnded complete"]


def test_empty_audio_is_discarded(machine: TurnMachine) -> None:
    """An empty chunk is no frame."""
    speaking(machine)

    assert summary(machine.audio(0, 1, b"")) == ["discard audio empty"]


def test_a_turn_that_is_held_open(machine: TurnMachine) -> None:
    """Its speaker is silent and alive: the time for the next chunk begins again."""
    speaking(machine)
    machine.audio(29, 1, b"")
    machine.audio(58, 1, b"")

    assert "Error input_timeout" not in summary(machine.tick(87))
    assert "Error input_timeout" in summary(machine.tick(88))


def test_an_event_of_a_caller(machine: TurnMachine) -> None:
    """It is published in the turn while that is speaking, else in none."""
    between = machine.emit(events.Transcript("user", "x"))
    speaking(machine)
    within = machine.emit(events.Transcript("assistant", "y"))

    assert [effect.turn for effect in (*between, *within) if isinstance(effect, Publish)] == [0, 1]


def test_closing(machine: TurnMachine) -> None:
    """The running turn stops, the last event is out, and nothing is admitted any more."""
    speaking(machine)

    assert summary(machine.close(1, "deleted")) == [
        "audio 0 END", "abandon", "Interrupted deleted", "TurnEnded interrupted", "ConversationEnded deleted",
    ]  # fmt: skip
    assert summary(machine.audio(0, 2, SECOND)) == NOT_ADMITTED
    assert summary(machine.emit(events.Transcript("assistant", "x"))) == []
    assert machine.deadline is None

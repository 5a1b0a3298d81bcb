"""The turn machine's end of playback: computed, reported by viewers, or ended by an interrupt."""

import pytest
from tests.rigs.turn_machine import RULES, SECOND, begins, playing, speaking, summary

from relay_turns.effects import Publish
from relay_turns.machine import TurnMachine
from relay_turns.state import TurnState
from relay_wire.position import START


def test_the_next_turn_waits_for_playback(machine: TurnMachine) -> None:
    """Three seconds of audio, all out after one: the next turn may begin when they have played."""
    machine.audio(0, 1, SECOND * 3, end=True)
    machine.request_opened(1, "r")
    machine.motion(1, "r", b"m", last=True)

    assert summary(machine.audio(0, 2, SECOND)) == ["deferred"]
    assert machine.deadline == 3.5
    machine.tick(3.4)
    assert summary(machine.audio(0, 2, SECOND)) == ["deferred"]
    machine.tick(3.5)
    assert begins(machine, 2)


def test_the_computed_end(machine: TurnMachine) -> None:
    """It is known while the turn plays, from its audio alone: reports and the grace do not move it."""
    speaking(machine)
    assert machine.plays_until is None
    machine.interrupt(1, 1, "viewer")
    playing(machine, turn=2)
    machine.playback(2, 2, "started", 0, viewer="late")

    assert machine.plays_until == 3
    machine.tick(99)
    assert machine.plays_until is None


def test_deferred_audio_changes_nothing(machine: TurnMachine) -> None:
    """Neither while the turn before speaks or plays, nor while no turn may begin at all."""
    before = machine.state
    assert summary(machine.audio(0, 1, SECOND, may_begin=False)) == ["deferred"]
    assert summary(machine.audio(0, 1, SECOND, barge_in=True, may_begin=False)) == ["deferred"]
    assert machine.state is before
    speaking(machine)
    before = machine.state
    assert summary(machine.audio(0, 2, SECOND)) == ["deferred"]
    assert machine.state is before
    assert summary(machine.audio(0, 1, b"ab", may_begin=False)) == ["audio 2", "send 2"]


def test_a_viewer_that_finished_early_ends_nothing_for_others(machine: TurnMachine) -> None:
    """The next turn waits for the computed end all the same, but gives no grace beyond it."""
    playing(machine)

    assert summary(machine.playback(1, 7, "finished", 0)) == ["discard playback other_turn"]
    assert machine.deadline == 3.5
    machine.playback(1, 1, "finished", 3000, viewer="a")
    assert summary(machine.audio(0, 2, SECOND)) == ["deferred"]
    assert machine.deadline == 3
    machine.tick(3)
    assert begins(machine, 2)


def test_a_viewer_that_finished_within_the_grace_ends_it(machine: TurnMachine) -> None:
    """At once, when no other viewer is known to be behind."""
    playing(machine)
    machine.playback(3.1, 1, "finished", 3000, viewer="a")

    assert begins(machine, 2)


def test_the_last_of_the_viewers_is_waited_for(machine: TurnMachine) -> None:
    """Each viewer's report is its own."""
    playing(machine)
    machine.playback(2, 1, "started", 0, viewer="late")
    machine.playback(3, 1, "started", 0, viewer="later")
    machine.playback(3.1, 1, "finished", 3000, viewer="first")

    assert machine.deadline == 6.5
    machine.playback(5, 1, "finished", 3000, viewer="later")
    assert machine.deadline == 5.5
    machine.playback(5.1, 1, "finished", 3000, viewer="late")
    assert begins(machine, 2)


def test_the_number_of_viewers_waited_for_is_bounded(machine: TurnMachine) -> None:
    """Reports of further ones are discarded, and the known ones may report again."""
    playing(machine)
    for number in range(RULES.playback.viewers):
        machine.playback(2, 1, "stalled", 0, viewer=f"viewer-{number}")

    assert summary(machine.playback(2, 1, "stalled", 0, viewer="one-more")) == ["discard playback too_many"]
    assert summary(machine.playback(2, 1, "stalled", 100, viewer="viewer-0")) == []


@pytest.mark.parametrize("at", [2.0, 3.2, 3.6, 60.0, 100_000.0])
def test_an_interrupt_of_the_last_turn_is_published_at_any_time(machine: TurnMachine, at: float) -> None:
    """A viewer that joined late still plays it: the event is published once, in that turn."""
    playing(machine)
    machine.tick(at)

    effects = machine.interrupt(at, 1, "viewer")

    assert summary(effects) == ["Interrupted viewer"]
    assert [effect.turn for effect in effects if isinstance(effect, Publish)] == [1]
    assert summary(machine.interrupt(at, 1, "viewer")) == []
    resumed = TurnMachine(RULES, TurnState.decode(machine.state.encode()))
    resumed.start(at, START)
    assert summary(resumed.interrupt(at, 5, "backend")) == []


def test_a_barge_in_after_the_computed_end_is_an_interrupt_too(machine: TurnMachine) -> None:
    """No viewer must play two turns at a time; a turn that waited for the last one's end interrupts none."""
    playing(machine)
    machine.tick(60)
    assert summary(machine.audio(60, 2, SECOND, barge_in=True))[:2] == ["Interrupted barge_in", "TurnStarted"]
    machine.audio(60, 2, b"", end=True)
    machine.motion_failed(60, "x")
    machine.tick(99)
    assert summary(machine.audio(99, 3, SECOND))[0] == "TurnStarted"


def test_reports_move_the_end_of_playback_within_bounds(machine: TurnMachine) -> None:
    """A viewer that started late is waited for, but not for ever."""
    machine.audio(0, 1, SECOND * 3, end=True)
    machine.request_opened(1, "r")
    machine.motion(0, "r", b"m", last=True)

    machine.playback(2, 1, "started", 0)
    assert machine.deadline == 5.5
    machine.playback(5, 1, "stalled", -5)
    assert machine.deadline == 8.5
    machine.playback(8, 1, "stalled", -5)
    machine.playback(11, 1, "stalled", -5)
    assert machine.deadline == 13.5


def test_barge_in_does_not_wait(machine: TurnMachine) -> None:
    """The turn before is interrupted in the same call."""
    speaking(machine)

    effects = machine.audio(1, 2, b"ab", barge_in=True)

    assert summary(effects) == [
        "audio 0 END", "abandon", "Interrupted barge_in", "TurnEnded interrupted",
        "TurnStarted", "audio 2", "send 2",
    ]  # fmt: skip
    assert [effect.turn for effect in effects if isinstance(effect, Publish)] == [1, 1, 1, 2, 2]

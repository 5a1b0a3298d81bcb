"""The turn machine, rule by rule."""

import pytest

from relay_turns.effects import Abandon, Deferred, Discard, Effect, Publish, SendAudio
from relay_turns.machine import TurnMachine
from relay_turns.playback import PlaybackLimits
from relay_turns.rules import Rules
from relay_turns.state import TurnState
from relay_wire import events
from relay_wire.frame import MAX_MOTION_BYTES, Kind
from relay_wire.position import START, Position

RATE = 16000
SECOND = bytes(2 * RATE)
RULES = Rules(
    sample_rate=RATE,
    first_motion_timeout_s=5,
    motion_stall_timeout_s=10,
    input_timeout_s=30,
    playback=PlaybackLimits(grace_s=0.5, report_s=10, viewers=64),
)


@pytest.fixture
def machine() -> TurnMachine:
    """A new conversation's machine."""
    return TurnMachine(RULES)


NOT_ADMITTED = ["discard audio not_admitted"]


def summary(effects: list[Effect] | Deferred) -> list[str]:
    """Effects in short: what is published, sent, abandoned, discarded; or that audio is deferred."""
    if isinstance(effects, Deferred):
        return ["deferred"]
    words = []
    for effect in effects:
        match effect:
            case Publish(Kind.EVENT, _, payload):
                event = events.decode(payload)
                detail = getattr(event, "outcome", getattr(event, "reason", getattr(event, "code", "")))
                words.append(f"{type(event).__name__} {detail}".strip())
            case Publish(kind, _, payload, _, end):
                words.append(f"{kind.name.lower()} {len(payload)}{' END' if end else ''}")
            case SendAudio(_, pcm, end):
                words.append(f"send {len(pcm)}{' end' if end else ''}")
            case Abandon(_, overdue):
                words.append("abandon overdue" if overdue else "abandon")
            case Discard(what, reason):
                words.append(f"discard {what} {reason}")
    return words


def begins(machine: TurnMachine, turn: int, now: float = 0.0) -> bool:
    """Whether audio of a turn begins it."""
    return summary(machine.audio(now, turn, SECOND))[:1] == ["TurnStarted"]


def speaking(machine: TurnMachine, turn: int = 1, now: float = 0.0) -> None:
    """A turn with one second of audio whose request is open."""
    machine.audio(now, turn, SECOND)
    machine.request_opened(turn, f"req-{turn}")


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


def playing(machine: TurnMachine, turn: int = 1, seconds: int = 3) -> None:
    """A turn all of which is out at once; it plays from 0 on."""
    machine.audio(0, turn, SECOND * seconds, end=True)
    machine.request_opened(turn, f"r{turn}")
    machine.motion(0, f"r{turn}", b"m", last=True)


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


def test_closing(machine: TurnMachine) -> None:
    """The running turn stops, the last event is out, and nothing is admitted any more."""
    speaking(machine)

    assert summary(machine.close(1, "deleted")) == [
        "audio 0 END", "abandon", "Interrupted deleted", "TurnEnded interrupted", "ConversationEnded deleted",
    ]  # fmt: skip
    assert summary(machine.audio(0, 2, SECOND)) == NOT_ADMITTED
    assert summary(machine.emit(events.Transcript("assistant", "x"))) == []
    assert machine.deadline is None


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

"""Conversation events: frames in, the events that belong to them out."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from relay_turns.conversation_events import ConversationEvents
from relay_turns.effects import Publish
from relay_turns.state import TurnState
from relay_wire import events
from relay_wire.frame import Kind


def audio(turn: int, size: int = 32_000) -> Publish:
    return Publish(Kind.AUDIO, turn, bytes(size), 0)


def motion(turn: int, size: int = 100) -> Publish:
    return Publish(Kind.MOTION, turn, bytes(size), 0)


def event(turn: int, one: events.StreamEvent) -> Publish:
    return Publish(Kind.EVENT, turn, events.encode(one), 0)


def started(state: TurnState | None = None, *, enabled: bool = True) -> ConversationEvents:
    return ConversationEvents(state or TurnState(), sample_rate=16_000, enabled=enabled)


def record(
    recorder: ConversationEvents, state: TurnState, *publishes: Publish, **lines: Any
) -> list[tuple[int, str, dict[str, Any]]]:
    _, found = recorder.record(state, publishes, lines.get("lines", {}))
    return [(index, kind, json.loads(data)) for index, kind, data in found]


def kinds(found: Sequence[tuple[int, str, Any]]) -> list[tuple[int, str]]:
    return [(index, kind) for index, kind, _ in found]


def test_without_jobs_there_are_none() -> None:
    """And the state is stored as it is."""
    state = TurnState(turn=1, phase="playing")
    assert started(enabled=False).record(state, [event(1, events.TurnEnded("complete"))], {}) == (state, ())


def test_a_turn_that_ends() -> None:
    """Its event belongs to its last frame and has its numbers, with the times of its line."""
    recorder = started()
    assert record(recorder, TurnState(1, "speaking"), event(1, events.TurnStarted()), audio(1)) == []
    line = {"conversation": "c", "turn": 1, "first_audio_ms": 12, "motion_credits": 1, "frames": 99}

    found = record(
        recorder, TurnState(1, "playing"), motion(1), event(1, events.TurnEnded("complete")), lines={1: line}
    )

    data = {
        "turn": 1, "outcome": "complete", "sample_rate": 16_000, "audio_s": 1.0, "audio_bytes": 32_000,
        "motion_bytes": 100, "frames": 4, "owner_changes": 0, "first_audio_ms": 12, "motion_credits": 1,
    }  # fmt: skip
    assert found == [(1, "turn.ended", data)]


def test_a_recorded_conversation() -> None:
    """The events at which its frames are copied show that it is recorded."""
    recorder = ConversationEvents(TurnState(), sample_rate=16_000, enabled=True, recorded=True)
    ends = event(1, events.TurnEnded("complete")), event(0, events.ConversationEnded("over"))

    found = record(recorder, TurnState(1, "playing"), *ends)

    assert [(kind, data["recorded"]) for _, kind, data in found] == [
        ("turn.ended", True),
        ("conversation.ended", True),
    ]


def test_a_turn_of_two_owners() -> None:
    """The second counts on from the checkpoint of the first."""
    state, _ = started().record(
        TurnState(1, "speaking", audio_bytes=32_000),
        [event(1, events.TurnStarted()), audio(1), motion(1)],
        {},
    )
    assert (state.frames, state.motion_bytes) == (3, 100)
    stored = TurnState.decode(state.encode())

    [(_, _, data)] = record(
        started(stored), stored, audio(1), event(1, events.TurnEnded("audio_only")),
    )  # fmt: skip

    assert (data["audio_bytes"], data["motion_bytes"], data["frames"], data["owner_changes"]) == (
        64_000, 100, 5, 1,
    )  # fmt: skip


def test_a_turn_that_another_one_interrupts() -> None:
    """The frames of both are one write: each is counted for its turn, and the state is the second's."""
    recorder = started()
    state, found = recorder.record(
        TurnState(2, "speaking"),
        [
            audio(1), event(1, events.Interrupted("barge_in")), event(1, events.TurnEnded("interrupted")),
            event(2, events.TurnStarted()), audio(2, 10), event(0, events.Transcript("user", "x")),
        ],
        {1: {"reason": "barge_in"}},
    )  # fmt: skip
    assert (state.frames, state.motion_bytes) == (2, 0)
    [(index, kind, data)] = found
    assert (index, kind) == (2, "turn.ended")
    assert json.loads(data) == {
        "turn": 1, "outcome": "interrupted", "sample_rate": 16_000, "audio_s": 1.0, "audio_bytes": 32_000,
        "motion_bytes": 0, "frames": 3, "owner_changes": 0, "reason": "barge_in",
    }  # fmt: skip


def test_motion_is_lost_and_comes_back() -> None:
    """One event for the loss, however many turns lack motion, also over owners; one for the return."""
    recorder = started()
    lost = [event(1, events.AudioOnly("motion_timeout")), Publish(Kind.MOTION, 1, b"", 0, end=True)]
    found = record(recorder, TurnState(1, "speaking"), audio(1), *lost)
    assert found == [(1, "conversation.degraded", {"turn": 1, "reason": "motion_timeout"})]
    state, again = recorder.record(TurnState(2, "speaking"), [event(2, events.AudioOnly("x"))], {})
    assert not again
    assert state.degraded
    assert state.begin(3).degraded

    recorder = started(TurnState.decode(state.encode()))
    assert record(recorder, TurnState(3, "speaking"), audio(3), motion(3), motion(3)) == [
        (1, "conversation.recovered", {"turn": 3})
    ]
    assert not recorder.record(TurnState(3, "speaking"), [motion(3)], {})[0].degraded


@pytest.mark.parametrize("degraded", [True, False])
def test_the_motion_of_a_clip(degraded: bool) -> None:  # noqa: FBT001
    """It neither comes from Motion Server nor is lost by it."""
    recorder = started(TurnState(degraded=degraded))
    state = TurnState(1, "speaking", rendered=True)
    assert record(recorder, state, motion(1), event(1, events.AudioOnly("motion_missing"))) == []
    assert recorder.record(state, [], {})[0].degraded == degraded


def test_a_conversation_that_ends() -> None:
    """Behind its last turn, if that runs; also with another state machine, after a defect."""
    recorder = started()
    record(recorder, TurnState(4, "speaking"), audio(4))
    found = record(
        recorder,
        TurnState(4, "closed"),
        event(4, events.TurnEnded("interrupted")),
        event(0, events.ConversationEnded("deleted")),
    )
    assert kinds(found) == [(0, "turn.ended"), (1, "conversation.ended")]
    assert found[1][2] == {"reason": "deleted", "turns": 4}
    state, _ = recorder.record(TurnState(), [event(0, events.ConversationEnded("internal_error"))], {})
    assert state == TurnState()

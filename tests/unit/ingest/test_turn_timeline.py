"""Turn timelines: moments in, the fields of the log line out."""

import pytest

from relay_ingest.turn_timeline import NEVER, TurnTimeline
from relay_telemetry.trace_context import NO_TRACE, Context

SAMPLED = Context(f"00-{'1' * 32}-{'2' * 16}-01", "v=1")
OTHER = Context(f"00-{'3' * 32}-{'4' * 16}-01")
WALL_MS = 1_000_000.0
"""The wall time at the moment 0."""


def line(turn: TurnTimeline) -> dict[str, object]:
    return dict(turn.line(conversation="c", sample_rate=16000, wall_ms=WALL_MS))


def test_a_whole_turn() -> None:
    """Each time is from its own beginning, in the unit of its name."""
    turn = TurnTimeline(3, 10.0, parent=SAMPLED, context=SAMPLED.child("5" * 16))
    turn.source = "post"
    turn.stored_ms, turn.stored_last_ms, turn.ready_ms = 1_009_900, 1_010_400, 1_009_900
    turn.started_at = turn.first_audio_at = 10.0
    turn.frames, turn.audio_bytes = 9, 64_000
    assert turn.motion_arrived(10.5, 20_000, 20_000.0) == pytest.approx(0.5)
    assert turn.motion_arrived(12.1, 20_000, 20_000.0) == pytest.approx(-0.1)
    turn.session_opened_at = 9.0
    turn.end(12.5, "complete")

    assert line(turn) == {
        "conversation": "c", "turn": 3, "outcome": "complete", "trace_id": "1" * 32, "source": "post",
        "input_s": 0.5, "first_audio_ms": 100, "first_motion_ms": 500, "motion_lead_min_ms": -100,
        "audio_s": 2.0, "audio_bytes": 64_000, "motion_bytes": 40_000, "frames": 9,
        "motion_session_s": 3.5, "motion_credits": 1, "owner_changes": 0,
    }  # fmt: skip


def test_what_is_unknown_is_left_out() -> None:
    """As of a turn that was taken over from an owner that died."""
    turn = TurnTimeline(3, 10.0)
    turn.owner_changes = 1
    turn.end(11.0, "interrupted")

    assert line(turn) == {
        "conversation": "c", "turn": 3, "outcome": "interrupted", "audio_s": 0.0, "audio_bytes": 0,
        "motion_bytes": 0, "frames": 0, "owner_changes": 1,
    }  # fmt: skip


def test_clocks_that_disagree() -> None:
    """Speech stored in the future of the owner's clock was not negative time under way."""
    turn = TurnTimeline(1, 10.0)
    turn.stored_ms, turn.stored_last_ms, turn.ready_ms = 1_020_000, 1_019_000, 1_020_000
    turn.first_audio_at = 10.0
    turn.end(11.0, "complete")

    assert (line(turn)["first_audio_ms"], line(turn)["input_s"]) == (0, 0.0)


@pytest.mark.parametrize(
    ("outcome", "reason", "audio_only", "shown"),
    [
        ("complete", "agent_failed", "", ""),
        ("audio_only", "", "motion_timeout", "motion_timeout"),
        ("interrupted", "viewer", "motion_timeout", "viewer"),
        ("failed", "input_timeout", "", "input_timeout"),
    ],
)
def test_the_reason(outcome: str, reason: str, audio_only: str, shown: str) -> None:
    """That of the outcome; a complete turn has none."""
    turn = TurnTimeline(1, 0.0)
    turn.reason, turn.audio_only = reason, audio_only
    turn.end(1.0, outcome)

    assert (turn.reason, turn.slow_at) == (shown, NEVER)


def test_it_runs_until_it_has_an_outcome() -> None:
    """A turn 0 is none."""
    assert not TurnTimeline(0, 0.0).is_running
    turn = TurnTimeline(1, 0.0)
    assert turn.is_running
    turn.end(1.0, "complete")
    assert not turn.is_running


def test_links_are_to_other_contexts_each_once() -> None:
    turn = TurnTimeline(1, 0.0, parent=SAMPLED)
    for context in (SAMPLED, OTHER, NO_TRACE, OTHER):
        turn.link(context)

    assert turn.links == [OTHER]


def test_contexts_count_where_they_are_sampled() -> None:
    """Frames carry a sampled context only, and exemplars name a trace that exists only."""
    unsampled = SAMPLED.with_sampled(False)
    turn = TurnTimeline(1, 0.0, parent=unsampled, context=unsampled, frames_context=unsampled)
    assert (turn.frame_trace, turn.trace_id) == ("", "")
    turn.trace(SAMPLED, OTHER)
    assert (turn.frame_trace, turn.trace_id) == (OTHER.encode(), "1" * 32)


def test_a_session_that_closed_within_the_turn_keeps_its_length() -> None:
    turn = TurnTimeline(1, 10.0)
    turn.session_opened_at, turn.session_s = 10.0, 1.5
    turn.end(20.0, "audio_only")

    assert turn.session_s == 1.5

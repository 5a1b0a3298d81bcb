"""Steps: everything that happened is in order, and faults are marked."""

from tests.rigs.stored_turns import Frames, complete

from relay_cli.explain.steps import steps
from relay_wire import events


def test_a_complete_turn() -> None:
    """In the order of time, then of the stream; none is a fault."""
    found = steps(complete().turn(stored_at_s=-0.1))

    assert [step.what for step in found] == [
        "speech stored", "turn_started published", "first audio published", "audio complete",
        "first motion published", "smallest motion lead", "motion complete", "turn_ended published",
    ]  # fmt: skip
    assert [step for step in found if step.is_fault] == []
    assert [str(step.position) for step in found[:3]] == ["0-0", "100-11", "100-12"]
    assert round(found[-1].at_s, 3) == 0.91


def test_faults() -> None:
    """Late media, errors, the switch to audio, a new owner, missing positions, an abnormal end."""
    stream = (
        Frames().audio(0.0, 1.0).motion(0.1, 10_000).motion(2.0, 10_000)
        .event(2.5, events.Error("audio_missing", "lost", retryable=False))
        .event(3.0, events.AudioOnly("motion_stalled")).motion(3.0, 0, end=True).skip(1).audio(3.1, 1.0)
        .owner_changed(4.0).event(4.5, events.Transcript("avatar", "secret"))
        .event(5.0, events.TurnEnded("failed"))
    )  # fmt: skip
    found = {step.what: step for step in steps(stream.turn())}

    assert {what for what, step in found.items() if step.is_fault} == {
        "smallest motion lead", "audio late", "motion late", "error", "audio only", "owner changed",
        "positions missing", "turn_ended published",
    }  # fmt: skip
    assert found["trimmed"].detail.startswith("frames before 100-11")
    assert found["error"].detail == "audio_missing: lost"
    assert found["audio only"].detail == "motion_stalled"
    assert found["owner changed"].detail == "generation 150, after 0.900 s without a frame"
    assert found["positions missing"].detail == "between 100-16 and 100-18"
    assert found["turn_ended published"].detail == "failed"
    assert "secret" not in "".join(step.detail for step in found.values())


def test_an_interrupt() -> None:
    """It has its reason, and is no fault."""
    stream = Frames().event(0.0, events.TurnStarted()).event(1.0, events.Interrupted("barge_in"))
    [_, interrupted] = steps(stream.turn())

    assert (interrupted.what, interrupted.detail, interrupted.is_fault) == ("interrupted", "barge_in", False)

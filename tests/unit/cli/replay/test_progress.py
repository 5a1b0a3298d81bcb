"""Progress of a replay: spacing, and the record that gateways start their viewers by."""

import pytest
from tests.rigs.recorded import conversation, frame

from relay_cli.replay.progress import Progress
from relay_wire import events
from relay_wire.frame import Kind
from relay_wire.position import Position

FRAMES = conversation(5, 9)
NOW_MS = 1_000_000


def progress(speed: float = 1.0, retention_bytes: int = 1 << 20) -> Progress:
    return Progress(16000, speed, retention_bytes)


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_the_spacing_is_that_of_the_recording(speed: float) -> None:
    """Divided by the speed."""
    state = progress(speed)

    assert [round(state.due_s(each) * speed, 3) for each in FRAMES[:4]] == [0, 0.1, 0.2, 0.3]


def test_a_clock_that_was_behind_delays_nothing() -> None:
    """The next owner's time may be earlier."""
    state = progress()
    for seq, at_us, due_s in ((1, 5_000_000, 0), (2, 6_000_000, 1), (3, 4_000_000, 1), (4, 6_500_000, 1.5)):
        assert state.due_s(frame(Position(5, seq), 1, Kind.AUDIO, b"", at_us=at_us)) == due_s


def test_the_record_follows_the_frames() -> None:
    """Position, turn and phase are those of an owner at that frame."""
    state = progress()
    seen = []
    for each in FRAMES:
        state.add(each, NOW_MS)
        fields = state.fields()
        seen.append((fields["tail"], fields["turn"], fields["turn_phase"]))

    assert seen[0] == ("5-1", 0, "idle")
    assert seen[1] == ("5-2", 1, "speaking")
    assert seen[8] == ("5-9", 1, "playing")
    assert seen[10] == ("9-2", 2, "speaking")
    fields = state.fields()
    assert (fields["generation"], fields["turn_first"], fields["turn_before"]) == (9, "9-2", "5-2")
    assert fields["turn_ends_at_ms"] == NOW_MS + 3 * 100


def test_an_interrupt_ends_the_playing() -> None:
    """A viewer that comes then does not begin with that turn."""
    state = progress()
    for each in FRAMES[:9]:
        state.add(each, NOW_MS)
    state.add(
        frame(Position(5, 10), 1, Kind.EVENT, events.encode(events.Interrupted("viewer")), at_us=1), NOW_MS
    )

    assert (state.fields()["turn_phase"], state.fields()["turn_ends_at_ms"]) == ("idle", 0)


def test_old_turns_are_trimmed() -> None:
    """As in any stream: the current and the previous turn stay."""
    state = progress()
    trims = []
    for each in conversation(5, 9, 12):
        state.add(each, NOW_MS)
        trims.append(state.trim_to())

    assert list(dict.fromkeys(str(trim) for trim in trims if trim is not None)) == ["5-2", "9-2"]

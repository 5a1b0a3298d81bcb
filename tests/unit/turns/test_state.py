"""The state of the turn machine, and the checkpoint that it is stored as."""

import msgspec
import pytest

from relay_turns.state import TurnState

ALL = TurnState(
    turn=3,
    phase="playing",
    cancelled=1,
    interrupted=2,
    audio_bytes=640,
    offset=700,
    audio_ended=True,
    motion_ended=True,
    audio_only=True,
    switch_due="motion_timeout",
    failed=True,
    playing_ms=20,
    trace="00-a-b-01",
    frames=9,
    motion_bytes=90,
    degraded=True,
)
JSON = (
    b'{"turn":3,"phase":"playing","cancelled":1,"interrupted":2,"audio_bytes":640,"offset":700,'
    b'"audio_ended":true,"motion_ended":true,"audio_only":true,"switch_due":"motion_timeout","failed":true,'
    b'"playing_ms":20,"trace":"00-a-b-01","frames":9,"motion_bytes":90,"degraded":true}'
)


def test_the_checkpoint_is_a_contract_between_versions() -> None:
    """These bytes are in records: the next version's owners read what this version's have written."""
    assert ALL.encode() == JSON
    assert TurnState.decode(JSON) == ALL


def test_a_checkpoint_of_another_version() -> None:
    """Unknown fields are ignored, missing ones have their defaults; no checkpoint is a new conversation's."""
    assert TurnState.decode(b'{"turn":3,"mood":"good"}') == TurnState(turn=3)
    assert TurnState.decode(b"") == TurnState.decode(TurnState().encode()) == TurnState()


@pytest.mark.parametrize("junk", [b"{", b'{"turn":"one"}', b'{"phase":"dancing"}', b"\xff", b"[]"])
def test_what_is_not_a_checkpoint(junk: bytes) -> None:
    """It is refused in one way, whatever is wrong with it."""
    with pytest.raises(ValueError, match=r"."):
        TurnState.decode(junk)


def test_a_turn_begins_with_defaults() -> None:
    """What was cancelled, which interrupt was published and that motion is lost are left, nothing else."""
    begun = ALL.begin(4)
    assert ALL.begin(4, trace="00-c-d-01").trace == "00-c-d-01"

    changed = {
        name for name in TurnState.__struct_fields__ if getattr(begun, name) != getattr(TurnState(), name)
    }
    assert changed == {"turn", "phase", "cancelled", "interrupted", "degraded"}
    assert (begun.turn, begun.phase, begun.cancelled, begun.interrupted) == (4, "speaking", 1, 2)


def test_the_input_of_a_turn() -> None:
    """Open while it is spoken and not complete; what an interrupt ended is cut, not complete."""
    assert TurnState(turn=1, phase="speaking").input_state == "open"
    assert TurnState(turn=1, phase="speaking", audio_ended=True).input_state == "ended"
    assert TurnState(turn=1, phase="playing", audio_ended=True).input_state == "ended"
    assert TurnState(turn=1, phase="idle", cancelled=1).input_state == "cut"


def test_a_state_is_never_changed_in_place() -> None:
    """Whoever holds one holds a snapshot."""
    with pytest.raises(AttributeError):
        ALL.turn = 4  # type: ignore[misc]
    assert msgspec.structs.replace(ALL, turn=4).turn == 4


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"turn": "one"}', b"[" * 100_000])
def test_a_damaged_checkpoint_restores_nothing(damaged) -> None:
    """The caller ends that conversation; an empty checkpoint is that of a new one."""
    assert TurnState.restore(damaged) is None
    assert TurnState.restore(b"") == TurnState()

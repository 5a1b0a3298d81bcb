"""Records of conversations, as they are read."""

import pytest

from relay_streams.conversations import Conversation
from relay_streams.errors import Unreadable
from relay_wire.frame import Codec

FOUNDING = Conversation("c", "open", "ava", 16000, Codec.PCM_S16LE, 1).founding_fields()
FIELDS = {
    str(name).encode(): str(value).encode() for name, value in zip(FOUNDING[::2], FOUNDING[1::2], strict=True)
}


def read(**fields: bytes) -> Conversation:
    return Conversation.from_fields("c", {**FIELDS, **{name.encode(): data for name, data in fields.items()}})


@pytest.mark.parametrize(
    ("phase", "is_current"),
    [(b"idle", False), (b"speaking", True), (b"playing", True), (b"closed", False)],
)
def test_whether_the_turn_is_current(phase: bytes, is_current: bool) -> None:  # noqa: FBT001
    """While it is published, and while it plays: until its computed end, and not at it."""
    record = read(turn_phase=phase, turn_ends_at_ms=b"1000")

    assert record.is_turn_current(999) is is_current
    assert record.is_turn_current(1000) is (phase == b"speaking")


def test_a_record_without_a_phase_has_no_current_turn() -> None:
    """An older version wrote it: its turn is not repeated to viewers that come."""
    assert not read(turn=b"3", checkpoint=b'{"turn":3,"phase":"speaking"}').is_turn_current(0)


def test_a_phase_without_a_meaning_is_damage() -> None:
    """As in any other field; but only owners read the checkpoint."""
    with pytest.raises(Unreadable):
        read(turn_phase=b"dancing")
    assert read(checkpoint=b"\xff").checkpoint == b"\xff"

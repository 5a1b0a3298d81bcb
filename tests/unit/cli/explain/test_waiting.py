"""Waiting entries: what is left in the uplink behind the owner's cursor."""

from relay_cli.explain.waiting import UplinkEntry, speech_stored_at, traceparent, waiting
from relay_wire.uplink import Interrupt, SpeechChunk

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ENTRIES = [
    UplinkEntry("9000-0", SpeechChunk(1, 0, b"ab", end=True)),
    UplinkEntry("10000-0", SpeechChunk(2, 0, b"abcd", traceparent=TRACE)),
    UplinkEntry("10000-1", SpeechChunk(2, 4, b"ab")),
    UplinkEntry("11000-0", Interrupt(2, "asked")),
]


def test_what_waits() -> None:
    """Counted by kind, with the age of the oldest; ids are compared as numbers."""
    assert waiting(ENTRIES, "9000-0", 12.5) == (
        "3 entries (2 speech, 1 interrupt), the oldest for 2.5 s; 6 bytes of speech of turn 2"
    )
    assert waiting(ENTRIES, "10000-1", 10.0) == "1 entries (1 interrupt), the oldest for 0.0 s"
    assert waiting(ENTRIES, "11000-0", 12.5) == ""


def test_the_first_speech_of_a_turn() -> None:
    """Its time is known while its first entry is there, and so is its trace context."""
    assert speech_stored_at(ENTRIES, 2) == 10.0
    assert speech_stored_at(ENTRIES[2:], 2) is None
    assert speech_stored_at(ENTRIES, 7) is None
    assert traceparent(ENTRIES, 2) == TRACE
    assert traceparent(ENTRIES, 1) == ""

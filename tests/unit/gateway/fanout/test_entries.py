"""Entries of a down stream: their frames are decoded, and what another program wrote is skipped."""

import pytest

from relay_gateway.fanout.entries import FOREIGN, Entry, EntryDecoder
from relay_wire import frame
from relay_wire.frame import HEADER_BYTES, Codec, Flags, Frame, Kind
from relay_wire.position import MAX_GENERATION, MAX_SEQ, Position


def entry(generation: int, seq: int, entry_id: bytes | None = None) -> Entry:
    data = frame.encode(Frame(Kind.AUDIO, Flags.NONE, Codec.PCM_S16LE, 1, generation, seq, 0, 0, b"pcm"))
    return entry_id or b"%d-%d" % (generation, seq), (b"f", data)


def decode(*entries: Entry) -> list[Position]:
    """The positions of the frames that the entries hold."""
    return [each.position for each in EntryDecoder().decode(entries)]


def test_frames_of_consecutive_entries() -> None:
    """Every frame whose position is its entry's id, in order, over the end of a generation."""
    entries = [entry(7, 9), entry(7, 10), entry(8, 1), entry(MAX_GENERATION, MAX_SEQ), entry(8, 2)]

    assert decode(*entries) == [(7, 9), (7, 10), (8, 1), (MAX_GENERATION, MAX_SEQ), (8, 2)]


def test_frames_of_the_next_entries() -> None:
    """A decoder that has read entries of a generation reads those of any other."""
    decoder = EntryDecoder()

    for generation in (7, 7, 8, 7):
        [shared] = decoder.decode([entry(generation, 1)])
        assert shared.position == (generation, 1)
    assert decoder.decode([entry(7, 2, b"8-2")]) == []
    assert decoder.decode([]) == []


@pytest.mark.parametrize(
    "entry_id",
    [b"7-2", b"8-1", b"7-11", b"7-", b"7", b"17-1", b"7-01", b"07-1", b"7 -1", b"-1", b"1", b"7-1 ",
     b"7-1\n"],
)  # fmt: skip
def test_a_frame_under_another_id(entry_id: bytes) -> None:
    """An entry whose frame has another position is skipped and counted; those around it are decoded."""
    before = FOREIGN.value

    assert decode(entry(7, 1), entry(7, 1, entry_id), entry(7, 2)) == [(7, 1), (7, 2)]
    assert FOREIGN.value == before + 1


TRACEPARENT = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"


@pytest.mark.parametrize(
    ("fields", "trace"),
    [
        ((), None),
        ((b"traceparent", TRACEPARENT), (TRACEPARENT, b"")),
        ((b"traceparent", TRACEPARENT, b"tracestate", b"vendor=1"), (TRACEPARENT, b"vendor=1")),
        (
            (b"later", b"1", b"tracestate", b"vendor=1", b"traceparent", TRACEPARENT),
            (TRACEPARENT, b"vendor=1"),
        ),
        ((b"tracestate", b"vendor=1"), None),
        ((b"later",), None),
    ],
)
def test_the_context_of_a_frame(fields: tuple[bytes, ...], trace: tuple[bytes, bytes] | None) -> None:
    """It is in fields of its own, in any order, among others."""
    entry_id, frame_fields = entry(7, 1)

    [shared] = EntryDecoder().decode([(entry_id, (*frame_fields, *fields))])
    assert shared.trace == trace


@pytest.mark.parametrize("fields", [(b"f", b""), (b"f", b"x" * (HEADER_BYTES - 1)), (b"g", b"x" * 99)])
def test_an_entry_without_a_frame(fields: tuple[bytes, bytes]) -> None:
    """Another field, or too few bytes for a header: skipped and counted."""
    before = FOREIGN.value

    assert decode((b"7-1", fields), entry(7, 1)) == [(7, 1)]
    assert FOREIGN.value == before + 1

"""The encoder of recordings: gaps, duplicates and the index."""

from hypothesis import given
from hypothesis import strategies as st
from tests.rigs.recorded import HEADER, conversation, frame, recording

from relay_wire import events
from relay_wire.frame import Kind, position_of
from relay_wire.position import START, Position
from relay_wire.recording.contents import Gap, Index
from relay_wire.recording.decoder import RecordingDecoder
from relay_wire.recording.encoder import _MOST_TIMES, RecordingEncoder


def read(data: bytes) -> tuple[list[bytes | Gap], Index]:
    decoder = RecordingDecoder()
    return list(decoder.feed(data)), decoder.finish()


@given(st.data())
def test_overlapping_parts_give_each_frame_once(data: st.DataObject) -> None:
    """Frames that arrive again, since a copy was repeated, change no byte of the file."""
    frames = conversation(5, 9)
    repeated: list[bytes] = []
    for number, each in enumerate(frames):
        repeated.append(each)
        back = data.draw(st.integers(0, number))
        repeated += frames[number - back : number]

    assert recording(repeated) == recording(frames)


def test_the_index_has_the_turns() -> None:
    """Each turn: its first frame, where that begins, its sizes and its outcome."""
    data = recording(conversation(5, 9))

    _, index = read(data)

    first, second = index.turns
    assert (first.turn, first.position, second.turn, second.position) == (1, "5-2", 2, "9-2")
    assert (first.frames, first.audio_bytes, first.outcome) == (8, 9600, "complete")
    assert first.motion_bytes == 3 * len(b"motion 0")
    assert position_of(data[second.offset + 5 :]) == Position(9, 2)
    assert (index.frames, index.last, index.gaps, index.audio_bytes) == (18, "9-9", [], 19200)
    assert index.duration_ms == 1700


def test_missing_frames_become_a_gap_at_their_place() -> None:
    """A gap names the last frame before it and the last that is missing, and stands in the index."""
    frames = conversation(5, 9)

    items, index = read(recording(frames[:3] + frames[6:]))

    assert items[3] == Gap("5-3", "5-6")
    assert [(gap.after, gap.to) for gap in index.gaps] == [("5-3", "5-6")]


def test_a_gap_before_an_owner_ends_where_its_first_frame_begins() -> None:
    """An owner's first frame names the frame before it."""
    frames = conversation(5, 9)

    items, _ = read(recording(frames[:7] + frames[9:]))

    assert items[7] == Gap("5-7", "5-9")


def test_gaps_at_both_ends() -> None:
    """Frames that are missing at the start and at the end are gaps, too."""
    frames = conversation(5)

    items, index = read(recording(frames[4:7], last=Position(5, 9)))

    assert (items[0], items[-1]) == (Gap("0-0", "5-4"), Gap("5-7", "5-9"))
    assert index.last == "5-7"


def test_an_owner_that_continues_before_a_recorded_frame_leaves_no_gap() -> None:
    """Redis may lose frames after they were copied: nothing is missing here."""
    owner = events.encode(events.OwnerChanged("5-3"))
    later = frame(Position(9, 1), 0, Kind.EVENT, owner, at_us=1)

    _, index = read(recording([*conversation(5), later]))

    assert (index.gaps, index.last) == ([], "9-1")


def test_an_unreadable_first_frame_of_an_owner_is_a_gap_before_it() -> None:
    """The frame is recorded as it is."""
    odd = frame(Position(9, 1), 0, Kind.EVENT, events.encode(events.OwnerChanged("?")), at_us=1)

    items, _ = read(recording([*conversation(5), odd]))

    assert items[-2:] == [Gap("5-9", "9-0"), odd]


def test_a_conversation_without_frames() -> None:
    """The file is whole, and its index is empty."""
    items, index = read(recording([]))

    assert (items, index.frames, index.last) == ([], 0, str(START))


def test_the_index_by_time_is_bounded() -> None:
    """A long recording has a coarser index, whose entries are the first frames of their intervals."""
    encoder = RecordingEncoder(HEADER)
    encoder.begin()
    seconds = _MOST_TIMES * 5
    for seq in range(1, seconds):
        encoder.add(frame(Position(5, seq), 1, Kind.AUDIO, b"", at_us=seq * 1_000_000))

    _, index = read(recording([]))
    assert index.times == []
    times = encoder._times.entries
    assert _MOST_TIMES / 2 <= len(times) <= _MOST_TIMES
    assert [entry.at_ms for entry in times] == sorted(entry.at_ms for entry in times)
    assert times[0].position == "5-1"


def test_time_does_not_run_backwards() -> None:
    """The clock of the next owner may be behind."""
    frames = [
        frame(Position(5, seq), 1, Kind.AUDIO, b"", at_us=at)
        for seq, at in ((1, 9_000_000), (2, 12_000_000), (3, 5))
    ]

    _, index = read(recording(frames))

    assert (index.duration_ms, [entry.at_ms for entry in index.times]) == (3000, [0, 3000])


def test_a_frame_that_arrives_again_gives_no_bytes() -> None:
    """Its position is not after the last one."""
    encoder = RecordingEncoder(HEADER)
    encoder.begin()
    first, *_ = conversation(5)

    assert encoder.add(first)
    assert encoder.add(first) == b""

"""Frames: the codec."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_wire import frame
from relay_wire.frame import HEADER_BYTES, MAX_PAYLOAD_BYTES, Codec, Flags, Frame, FrameError, Kind
from relay_wire.position import Position

frames = st.builds(
    Frame,
    kind=st.sampled_from(Kind),
    flags=st.sampled_from([Flags.NONE, Flags.END]),
    codec=st.sampled_from(Codec),
    turn=st.integers(0, 2**32 - 1),
    generation=st.integers(0, 2**64 - 1),
    seq=st.integers(0, 2**32 - 1),
    media_ms=st.integers(0, 2**32 - 1),
    published_at_us=st.integers(0, 2**64 - 1),
    payload=st.binary(max_size=200),
)


def a_frame(payload: bytes = b"x", **changes: object) -> Frame:
    return Frame(Kind.AUDIO, Flags.NONE, Codec.PCM_S16LE, 1, 2, 3, 4, 5, payload)._replace(**changes)


@given(frames)
def test_round_trip(original: Frame) -> None:
    """Decoding what was encoded gives the same frame."""
    assert frame.decode(frame.encode(original)) == original


@given(frames)
def test_position_without_decoding(original: Frame) -> None:
    """The fan-out's shortcut reads what decode reads."""
    data = frame.encode(original)

    assert frame.position_of(data) == frame.decode(data).position
    assert frame.turn_of(data) == frame.decode(data).turn
    assert frame.published_at_us_of(data) == frame.decode(data).published_at_us


@given(st.binary(max_size=100))
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    """Garbage raises FrameError and nothing else."""
    try:
        decoded = frame.decode(data)
    except FrameError:
        return
    assert frame.encode(decoded)[3:] == data[3:]


def test_the_payload_is_a_view() -> None:
    """Decoding copies nothing."""
    data = frame.encode(a_frame(b"abcdef"))

    payload = frame.decode(data).payload

    assert isinstance(payload, memoryview)
    assert payload.obj is data
    assert bytes(payload) == b"abcdef"


def test_the_header_is_32_bytes() -> None:
    """As the contract specifies."""
    assert HEADER_BYTES == 32


@pytest.mark.parametrize("size", [MAX_PAYLOAD_BYTES, 0])
def test_sizes_at_the_limit_pass(size: int) -> None:
    """The largest frame and the empty payload are frames."""
    assert len(frame.decode(frame.encode(a_frame(bytes(size)))).payload) == size


def test_too_large_is_refused_both_ways() -> None:
    """Neither encode nor decode accepts a frame over the limit."""
    with pytest.raises(FrameError, match="exceeds"):
        frame.encode(a_frame(bytes(MAX_PAYLOAD_BYTES + 1)))
    with pytest.raises(FrameError, match="cannot be a frame"):
        frame.decode(frame.encode(a_frame(bytes(MAX_PAYLOAD_BYTES))) + b"!")


def test_numbers_out_of_range_are_refused() -> None:
    """A header field that does not fit is named as such."""
    with pytest.raises(FrameError, match="out of range"):
        frame.encode(a_frame(turn=-1))


@pytest.mark.parametrize(
    ("offset", "value", "what"),
    [(0, 2, "version"), (1, 9, "9"), (1, 0, "0"), (3, 7, "7")],
)
def test_unknown_header_values_are_refused(offset: int, value: int, what: str) -> None:
    """Another version, kind or codec is not guessed at."""
    data = bytearray(frame.encode(a_frame()))
    data[offset] = value

    with pytest.raises(FrameError, match=what):
        frame.decode(bytes(data))


def test_reserved_flags_are_ignored() -> None:
    """A newer relay may set bits this one does not know."""
    data = bytearray(frame.encode(a_frame(flags=Flags.END)))
    data[2] |= 0xFE

    assert frame.decode(bytes(data)).flags is Flags.END


def test_what_a_frame_says_of_itself() -> None:
    """Position and END are read off the header."""
    last = a_frame(flags=Flags.END)

    assert last.position == Position(2, 3)
    assert last.is_end
    assert not a_frame().is_end

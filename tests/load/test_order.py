"""The order of frames, by the frames of one viewer."""

import pytest
from tests.load.order import Arrival, FrameOrder

from relay_wire import events, frame
from relay_wire.frame import Codec, Flags, Frame, Kind


def audio(seq: int, generation: int = 5) -> bytes:
    return frame.encode(Frame(Kind.AUDIO, Flags.NONE, Codec.PCM_S16LE, 1, generation, seq, 0, 0, b"\0\0"))


def event(what: events.Event, seq: int = 0, generation: int = 5) -> bytes:
    payload = events.encode(what)
    return frame.encode(Frame(Kind.EVENT, Flags.NONE, Codec.PCM_S16LE, 0, generation, seq, 0, 0, payload))


HELLO = event(events.Hello("5-0", 1, 16000, "pcm_s16le", "avatar"), generation=0)


def arrivals(*frames: bytes) -> list[str]:
    order = FrameOrder()
    return [order.admit(frame.decode(data), events.of_frame(data)).value for data in frames]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([HELLO, audio(1), audio(2)], ["notice", "next", "next"]),
        ([HELLO, audio(2)], ["notice", "lost"]),
        ([HELLO, audio(1), audio(1)], ["notice", "next", "repeated"]),
        ([HELLO, audio(1), audio(3), audio(2)], ["notice", "next", "lost", "reordered"]),
        ([HELLO, audio(1), audio(3), audio(4), audio(1)], ["notice", "next", "lost", "next", "repeated"]),
        (
            [HELLO, audio(1), event(events.OwnerChanged("5-1"), 1, 9), audio(2, 9)],
            ["notice", "next", "next", "next"],
        ),
        ([HELLO, audio(1), event(events.OwnerChanged("5-2"), 1, 9)], ["notice", "next", "lost"]),
        ([HELLO, audio(1), audio(1, 9)], ["notice", "next", "lost"]),
        ([HELLO, event(events.Gap("5-0", "5-7")), audio(8)], ["notice", "gap", "next"]),
        ([HELLO, event(events.Gap("5-0", "5-7")), audio(9)], ["notice", "gap", "lost"]),
        ([HELLO, audio(1), HELLO, audio(2)], ["notice", "next", "notice", "next"]),
        ([HELLO, event(events.Pong()), audio(1)], ["notice", "notice", "next"]),
    ],
)  # fmt: skip
def test_each_frame_is_what_the_protocol_makes_of_it(frames: list[bytes], expected: list[str]) -> None:
    """The successor of a frame is the next of its generation, or an owner's change that names it."""
    assert arrivals(*frames) == expected


def test_a_viewer_resumes_after_its_last_frame_and_ends_with_the_last() -> None:
    """The cursor is that of the greatest frame, and nothing follows conversation_ended."""
    order = FrameOrder()
    assert order.cursor is None
    for data in (HELLO, audio(1), audio(3), audio(2)):
        order.admit(frame.decode(data), events.of_frame(data))
    assert str(order.cursor) == "5-3"
    assert not order.ended

    data = event(events.ConversationEnded("deleted"), 4)
    assert order.admit(frame.decode(data), events.of_frame(data)) is Arrival.NEXT
    assert order.ended


def test_a_first_gap_needs_no_hello() -> None:
    """A gap that comes first sets the cursor."""
    assert arrivals(event(events.Gap("0-0", "5-7")), audio(8)) == ["gap", "next"]

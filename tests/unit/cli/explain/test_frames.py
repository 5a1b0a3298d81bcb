"""Stored frames: what an entry of the down stream yields."""

import pytest

from relay_cli.explain.frames import StoredFrame
from relay_wire import events, frame
from relay_wire.frame import Codec, Flags, Frame, FrameError, Kind
from relay_wire.position import Position

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_an_entry() -> None:
    """The header, the event and the trace context; of audio and motion only the size."""
    payload = events.encode(events.Interrupted("asked"))
    data = frame.encode(
        Frame(Kind.EVENT, Flags.END, Codec.PCM_S16LE, 4, 9, 2, 120, 1_500_000, payload)
    )  # fmt: skip
    found = StoredFrame.read({b"f": data, b"traceparent": TRACE.encode()})

    assert found == StoredFrame(
        Position(9, 2), Kind.EVENT, 4, 120, 1.5, len(payload), True, events.Interrupted("asked"), TRACE
    )


def test_what_is_no_trace_context_is_none() -> None:
    data = frame.encode(Frame(Kind.AUDIO, Flags.NONE, Codec.PCM_S16LE, 4, 9, 2, 0, 0, b"ab"))

    assert StoredFrame.read({b"f": data, b"traceparent": b"\xffx"}).traceparent == ""
    assert StoredFrame.read({b"f": data}).event is None


def test_an_entry_without_a_frame() -> None:
    with pytest.raises(FrameError):
        StoredFrame.read({b"x": b"y"})

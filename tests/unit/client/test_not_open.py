"""The speech stream and the viewer while they are not open: every call raises that, and none hangs."""

import pytest

from relay_client import Backend, Viewer, ViewerError


async def test_a_stream_that_is_not_open() -> None:
    """Sending, holding, ending and interrupting raise; there is no connection to cut."""
    backend = Backend("http://127.0.0.1:1", "key")
    stream = backend.speech("conversation")
    for call in (stream.send(b"\0\0"), stream.hold(), stream.end(), stream.interrupt()):
        with pytest.raises(ValueError, match="not open"):
            await call
    stream.cut()
    assert (stream.turn, stream.acknowledged_bytes, stream.buffered_bytes) == (0, 0, 0)


async def test_a_viewer_that_is_not_connected() -> None:
    """Messages raise; without a socket there are no frames."""
    viewer = Viewer("ws://127.0.0.1:1", "conversation", "token")
    for call in (viewer.interrupt(), viewer.send_text("hello"), viewer.ping(), viewer.send_microphone(b"")):
        with pytest.raises(ConnectionError, match="not connected"):
            await call
    with pytest.raises(ConnectionError):
        viewer.cut()
    assert [frame async for frame in viewer] == []


async def test_a_viewer_without_a_gateway() -> None:
    """After ``give_up_s`` the connect fails, with what the last attempt met."""
    viewer = Viewer("ws://127.0.0.1:1", "conversation", "token", give_up_s=0.01)
    with pytest.raises(ViewerError, match="no gateway could be reached"):
        async with viewer:
            pass

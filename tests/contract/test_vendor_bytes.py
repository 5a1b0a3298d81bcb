"""The vendor's bytes: the stand-in writes and reads what the vendor's own vectors have (facts 1.13.1)."""

import pytest

from relay_simulator import messages

REQ_ID = "20260101000000_AAAAAAAAAAAA"
CONFIRM = "08021a080a06636f6e6e2d31"
AUDIO = "080322230a1b32303236303130313030303030305f4141414141414141414141411a0401020304"
AUDIO_END = "0803221f0a1b32303236303130313030303030305f4141414141414141414141411001"
ANIMATION = "080532250a06636f6e6e2d31121b32303236303130313030303030305f414141414141414141414141"
ANIMATION_END = "080532270a06636f6e6e2d31121b32303236303130313030303030305f4141414141414141414141411801"
ERROR_4001 = (
    "08042a3b0a06636f6e6e2d31121b32303236303130313030303030305f41414141414141414141414118a11f2211"
    "4372656469747320657868617573746564"
)
CONFIGURE_16K = "0801120308807d"


def test_what_the_stand_in_writes() -> None:
    """Confirm, animation and error, byte for byte."""
    assert messages.confirm("conn-1").hex() == CONFIRM
    assert messages.animation("conn-1", REQ_ID, b"", end=False).hex() == ANIMATION
    assert messages.animation("conn-1", REQ_ID, b"", end=True).hex() == ANIMATION_END
    assert messages.error("conn-1", REQ_ID, 4001, "Credits exhausted").hex() == ERROR_4001


def test_what_the_stand_in_reads() -> None:
    """Configure and audio."""
    configure = messages.parse(bytes.fromhex(CONFIGURE_16K))
    audio = messages.parse(bytes.fromhex(AUDIO)).client_audio_input
    end = messages.parse(bytes.fromhex(AUDIO_END)).client_audio_input

    assert configure.type == messages.CONFIGURE_SESSION
    assert configure.client_configure_session.sample_rate == 16000
    assert (audio.req_id, audio.audio, audio.end) == (REQ_ID, b"\x01\x02\x03\x04", False)
    assert (end.req_id, end.audio, end.end) == (REQ_ID, b"", True)


@pytest.mark.parametrize("size", [1, 127, 128, 16_383, 16_384, 800_000])
def test_motion_sits_in_an_unknown_field(size: int) -> None:
    """The public schema keeps the motion as an unknown field: parsing and writing loses nothing."""
    payload = messages.animation("conn-1", REQ_ID, bytes(size), end=True)

    parsed = messages.parse(payload)

    assert parsed.server_response_animation.req_id == REQ_ID
    assert messages.is_end(payload)
    assert len(parsed.SerializeToString()) == len(payload)


def test_garbage_is_not_a_message() -> None:
    """Undecodable bytes are None, not an exception."""
    assert messages.parse(b"\xff\xff\xff\xff") is None

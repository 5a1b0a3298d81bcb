"""The host protocol: each message field by field, and what each refusal names (facts 5.1)."""

import json

import pytest

from relay_wire.avatarkit import host
from relay_wire.messages import MessageError


def test_the_whole_start() -> None:
    assert host.decode_start('{"action":"start","avatar_id":"ava","sample_rate":24000}') == ("ava", 24000)


@pytest.mark.parametrize(
    "text", ['{"action":"start"}', '{"action":"start","avatar_id":"","sample_rate":null}']
)
def test_what_a_start_leaves_open(text: str) -> None:
    """The avatar and the rate are then the server's choice."""
    assert host.decode_start(text) == ("", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"action":"stop"}', "not a start"),
        ("{", "not a start"),
        ('{"action":"start","sample_rate":11025}', "sample_rate"),
    ],
)
def test_what_is_no_start(text: str, message: str) -> None:
    with pytest.raises(MessageError, match=message):
        host.decode_start(text)


@pytest.mark.parametrize(("flags", "last"), [(0, False), (1, True), (2, False), (3, True)])
def test_audio(flags: int, last: bool) -> None:  # noqa: FBT001  # a parameter
    """Bit 0 alone marks the last piece."""
    assert host.decode_audio(bytes((1, flags)) + b"pcm!") == (b"pcm!", last)


@pytest.mark.parametrize("message", [b"", b"\x01", b"\x02\x00\x00\x00"])
def test_what_is_no_audio(message: bytes) -> None:
    """The vendor's server ignores it, too."""
    assert host.decode_audio(message) is None


def test_audio_is_cut_anywhere() -> None:
    """A sample's second byte may come with the next piece."""
    assert host.decode_audio(b"\x01\x00x") == (b"x", False)


def test_metadata() -> None:
    """A type byte, no flags, and JSON."""
    message = host.metadata(sample_rate=16000, avatar_id="ava", connection_id="c1")

    assert message[:2] == b"\x03\x00"
    assert json.loads(message[2:]) == {
        "sample_rate": 16000,
        "channels": 1,
        "avatar_id": "ava",
        "connection_id": "c1",
    }


@pytest.mark.parametrize(("last", "flags"), [(False, b"\x00"), (True, b"\x01")])
def test_animation(last: bool, flags: bytes) -> None:  # noqa: FBT001  # a parameter
    """A list of one payload, its count and its size in network order."""
    assert host.animation(b"abc", last=last) == b"\x02" + flags + b"\0\0\0\x01" + b"\0\0\0\x03" + b"abc"


def test_the_end_without_motion() -> None:
    """An empty list that is the last."""
    assert host.end() == b"\x02\x01\0\0\0\0"


def test_error() -> None:
    message = host.error("no")

    assert message[:2] == b"\x04\x00"
    assert json.loads(message[2:]) == {"error": "no"}

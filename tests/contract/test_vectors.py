"""Test vectors: the bytes that ports to other languages rely on. They may be added to, never changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from relay_streams.keys import KeySpace
from relay_wire import frame, messages
from relay_wire.frame import Codec, Flags, Frame, FrameError, Kind

VECTORS = Path(__file__).parent / "vectors"
FRAMES = json.loads((VECTORS / "frames.json").read_text())
MESSAGES = json.loads((VECTORS / "messages.json").read_text())
PARTITIONS = json.loads((VECTORS / "partitions.json").read_text())


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


@pytest.mark.parametrize("vector", named(FRAMES["frames"]))
def test_frames(vector: dict[str, Any]) -> None:
    """Both directions, every field."""
    fields = vector["fields"]
    expected = Frame(
        Kind(fields["kind"]),
        Flags(fields["flags"]),
        Codec(fields["codec"]),
        fields["turn"],
        fields["generation"],
        fields["seq"],
        fields["media_ms"],
        fields["published_at_us"],
        bytes.fromhex(fields["payload_hex"]),
    )

    assert frame.encode(expected).hex() == vector["hex"]
    assert frame.decode(bytes.fromhex(vector["hex"])) == expected


def test_a_header_by_hand() -> None:
    """One vector spelled out byte by byte, so that the table does not depend on the encoder alone."""
    by_hand = (
        "01"  # version
        "01"  # audio
        "01"  # END
        "00"  # pcm_s16le
        "00000001"  # turn 1
        "0000019ab84f5c7b"  # generation 1764028800123
        "00000005"  # seq 5
        "0000144b"  # media_ms 5195
        "0006445ff60ea33a"  # published at 1764028801000250
    )

    assert [vector["hex"] for vector in FRAMES["frames"] if vector["name"] == "audio_end"] == [by_hand]


@pytest.mark.parametrize("vector", named(FRAMES["refused"]))
def test_refused(vector: dict[str, Any]) -> None:
    """What is no frame of this version."""
    with pytest.raises(FrameError):
        frame.decode(bytes.fromhex(vector["hex"]))


@pytest.mark.parametrize("vector", named(MESSAGES["messages"]))
def test_viewers_messages(vector: dict[str, Any]) -> None:
    """As other languages write them."""
    read = messages.decode(vector["text"])

    assert json.loads(messages.encode(read)) == vector["fields"]


@pytest.mark.parametrize("vector", named(MESSAGES["refused"]))
def test_viewers_messages_that_are_refused(vector: dict[str, Any]) -> None:
    """Unreadable playback reports have an error of their own."""
    with pytest.raises(messages.MessageError) as refusal:
        messages.decode(vector["text"])

    assert isinstance(refusal.value, messages.ReportError) is vector["report"]


@pytest.mark.parametrize("vector", PARTITIONS["partitions"], ids=lambda v: f"{v['id']} of {v['of']}")
def test_partitions(vector: dict[str, Any]) -> None:
    """A conversation's partition never changes, in any process or language."""
    keys = KeySpace(vector["of"])

    assert keys.partition(vector["id"]) == vector["partition"]
    assert keys.conversation(vector["id"]).down == vector["down"]

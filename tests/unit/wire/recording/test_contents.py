"""Contents: the JSON of a recording."""

import pytest
from tests.rigs.recorded import HEADER

from relay_wire.recording import contents
from relay_wire.recording.blocks import RecordingError
from relay_wire.recording.contents import Gap, Header


def test_round_trip() -> None:
    """What was encoded is decoded."""
    assert contents.decode(contents.encode(HEADER), Header) == HEADER


def test_unknown_fields_are_ignored() -> None:
    """A later version may add fields."""
    assert contents.decode(b'{"after":"1-1","to":"1-3","why":"?"}', Gap) == Gap("1-1", "1-3")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"after":1}', b"\xff" * 9, b"[" * 100_000])
def test_other_bytes_are_an_error(body: bytes) -> None:
    """They raise nothing else."""
    with pytest.raises(RecordingError, match="its gap cannot be read"):
        contents.decode(body, Gap)

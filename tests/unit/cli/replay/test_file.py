"""The file of a recording: read in pieces, and refused with a reason."""

from pathlib import Path

import pytest
from tests.rigs.recorded import HEADER, conversation, recording

from relay_cli.replay.file import ReplayError, frames, verify

FRAMES = conversation(5, 9)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "a.avrec"
    path.write_bytes(data)
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    """Its header and index are known, and its frames are read without its gaps."""
    path = write(tmp_path, recording(FRAMES[:3] + FRAMES[5:]))

    header, index = verify(path)

    assert (header, index.frames, len(index.gaps)) == (HEADER, len(FRAMES) - 2, 1)
    assert list(frames(path)) == FRAMES[:3] + FRAMES[5:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (recording(FRAMES)[:-1], "cut short"),
        (recording(FRAMES).replace(b"motion 1", b"motion ?"), "checksum"),
        (b"RIFF" + bytes(40), "not a recording"),
    ],
)
def test_other_files(tmp_path: Path, data: bytes, reason: str) -> None:
    """The error names the file and the reason."""
    path = write(tmp_path, data)
    with pytest.raises(ReplayError, match=reason) as refused:
        verify(path)
    assert str(path) in str(refused.value)


def test_no_file(tmp_path: Path) -> None:
    """The reason is the system's."""
    with pytest.raises(ReplayError, match="No such file"):
        verify(tmp_path / "none.avrec")

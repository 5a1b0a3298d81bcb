"""Clips: which files a name can reach, and what is no clip."""

import os
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rigs.audio import RATE

from relay_ingest.agents.builtin.clips import ClipError, read_clip

PCM = b"\x01\x02" * 100


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A directory of clips, good and bad, beside a secret."""
    (tmp_path / "secret.pcm").write_bytes(PCM)
    root = tmp_path / "clips"
    (root / "inner").mkdir(parents=True)
    (root / "inner" / "deep.pcm").write_bytes(PCM)
    (root / "hello.pcm").write_bytes(PCM)
    (root / "with space.v2.pcm").write_bytes(PCM)
    (root / ".hidden.pcm").write_bytes(PCM)
    (root / "notes.txt").write_bytes(PCM)
    (root / "large.pcm").write_bytes(bytes(5000))
    (root / "odd.pcm").write_bytes(b"123")
    (root / "empty.pcm").write_bytes(b"")
    (root / "fake.wav").write_bytes(PCM)
    (root / "link.pcm").symlink_to(tmp_path / "secret.pcm")
    (root / "folder.pcm").mkdir()
    os.mkfifo(root / "pipe.pcm")
    for name, channels, rate in (("good", 1, RATE), ("stereo", 2, RATE), ("fast", 1, 48000)):
        with wave.open(str(root / f"{name}.wav"), "wb") as wav:
            wav.setnchannels(channels)
            wav.setsampwidth(2)
            wav.setframerate(rate)
            wav.writeframes(PCM)
    return root


@pytest.mark.parametrize("name", ["hello", "hello.pcm", "good", "good.wav", "with space.v2"])
def test_clips_by_name(clips: Path, name: str) -> None:
    assert read_clip(str(clips), name, sample_rate=RATE, limit_bytes=4000) == PCM


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../secret", "../secret.pcm", "inner/deep", "/etc/passwd", "\0", "hello\n", "link",
        ".hidden", "notes.txt", "folder", "pipe", "nobody", "..\\secret", "x" * 5000, "inner/../hello",
    ],
)  # fmt: skip
def test_what_is_no_clip(clips: Path, name: str) -> None:
    """Other directories, links, pipes and what is not there are one answer, and none of them blocks."""
    with pytest.raises(ClipError) as refusal:
        read_clip(str(clips), name, sample_rate=RATE, limit_bytes=4000)
    assert (refusal.value.code, str(refusal.value)) == ("unknown_clip", "there is no such clip")


@pytest.mark.parametrize("name", ["large", "odd", "empty", "fake", "stereo", "fast"])
def test_bad_clips(clips: Path, name: str) -> None:
    with pytest.raises(ClipError) as refusal:
        read_clip(str(clips), name, sample_rate=RATE, limit_bytes=4000)
    assert refusal.value.code == "bad_clip"


def test_no_directory_has_no_clips() -> None:
    """Also not those of the working directory."""
    with pytest.raises(ClipError):
        read_clip("", "hello", sample_rate=RATE, limit_bytes=4000)


@given(st.text())
def test_any_name_is_answered(name: str) -> None:
    """Whatever a viewer asks for."""
    with pytest.raises(ClipError):
        read_clip(str(Path(__file__).parent), name, sample_rate=RATE, limit_bytes=4000)

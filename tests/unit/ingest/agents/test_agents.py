"""Agents' pure parts: the inbox, the pre-buffer, clips, the catalog."""

import os
import sys
import wave
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_ingest.agents.builtin.clips import ClipError, read_clip
from relay_ingest.agents.builtin.echo import Echo
from relay_ingest.agents.builtin.push import Push
from relay_ingest.agents.events import ClipRequest, Ended, Event, Interrupted, Microphone, Started, Text
from relay_ingest.agents.prebuffer import prebuffered
from relay_ingest.agents.queue import EventQueue
from relay_ingest.agents.registry import AgentRegistry, UnknownAgent
from relay_settings.agents import AgentSettings
from relay_settings.base import SettingsError

EXAMPLES = Path(__file__).parents[3] / "example_agents"
PCM = b"\x01\x02" * 100
RATE = 16000

happenings = st.one_of(
    st.builds(Microphone, st.binary(max_size=40), st.booleans()),
    st.builds(Text, st.text(max_size=10)),
    st.builds(ClipRequest, st.text(max_size=10)),
    st.builds(Interrupted, st.sampled_from(["viewer", "backend"])),
)


def drain(inbox: EventQueue) -> list[Event]:
    return list(iter(lambda: inbox.take(0.0), None))


@given(st.lists(happenings, max_size=60))
def test_the_inbox_is_bounded(said: list[Event]) -> None:
    """It keeps order and bounds; beginning, end and the last interrupt are always there."""
    inbox = EventQueue(limit_events=10, limit_bytes=100)
    put = [Started(resumed=False), *said, Ended("deleted")]
    dropped = [victim for event in put for victim in inbox.put(event, 0.0)]
    interrupted = inbox.interrupted
    kept = drain(inbox)

    assert sum(len(event.pcm) for event in kept if isinstance(event, Microphone)) <= 100
    assert len(kept) <= 10
    assert (kept[0], kept[-1]) == (put[0], put[-1])
    places = iter(map(id, put))
    assert all(id(event) in places for event in kept), "in the order they came"
    interrupts = [event for event in put if isinstance(event, Interrupted)]
    assert [event for event in kept if isinstance(event, Interrupted)] == interrupts[-1:]
    assert interrupted == bool(interrupts)
    assert len(kept) + len(dropped) + len(interrupts[:-1]) == len(put)
    assert not any(isinstance(event, Interrupted) for event in dropped)


def test_the_inbox_drops_audio_first() -> None:
    """The oldest of it, and the end of what was said only when there is no other."""
    inbox = EventQueue(limit_events=3, limit_bytes=1000)
    for event in (Text("a"), Microphone(b"1", end=True), Microphone(b"2")):
        assert inbox.put(event, 0.0) == []
    assert inbox.put(Microphone(b"3"), 0.0) == [Microphone(b"2")]
    assert inbox.put(Text("b"), 0.0) == [Microphone(b"3")]
    assert inbox.put(Text("c"), 0.0) == [Text("a")]
    assert drain(inbox) == [Microphone(b"1", end=True), Text("b"), Text("c")]


def test_neglect() -> None:
    """It counts while something waits, from the last time something was read."""
    inbox = EventQueue(limit_events=3, limit_bytes=1000)
    assert inbox.neglected_s(5.0) == 0
    inbox.put(Text("a"), 10.0)
    inbox.put(Text("b"), 11.0)
    assert inbox.neglected_s(13.0) == 3
    inbox.take(14.0)
    assert inbox.neglected_s(15.0) == 1
    inbox.excuse(16.0)
    assert inbox.neglected_s(16.0) == 0
    inbox.take(17.0)
    assert inbox.neglected_s(99.0) == 0


@given(st.lists(st.binary(max_size=30)), st.integers(1, 50))
async def test_the_prebuffer_changes_no_byte(chunks: list[bytes], size_bytes: int) -> None:
    """The first chunk is large enough, unless that is all there is."""

    async def source() -> AsyncGenerator[bytes]:
        for chunk in chunks:
            yield chunk

    held = [chunk async for chunk in prebuffered(source(), size_bytes)]

    assert b"".join(held) == b"".join(chunks)
    if len(b"".join(chunks)) >= size_bytes:
        assert len(held[0]) >= size_bytes
        assert len(held[0]) < size_bytes + 30
    else:
        assert len(held) <= 1


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
        read_clip(str(EXAMPLES), name, sample_rate=RATE, limit_bytes=4000)


def test_the_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has what it is told to have, and push; it imports nothing else."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    settings = AgentSettings.load(agents="toner, echo")
    catalog = AgentRegistry(settings)

    assert type(catalog.make("toner")).__name__ == "Toner"
    assert isinstance(catalog.make("echo"), Echo)
    assert isinstance(catalog.make("push"), Push)
    assert "troubled" not in sys.modules
    for name in ("clips", "raises"):
        with pytest.raises(UnknownAgent):
            catalog.make(name)
    sys.modules.pop("toner")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nobody", "no agent 'nobody'; there are cannot-be-imported, clips, echo"),
        ("cannot-be-imported", "cannot be imported: ModuleNotFoundError"),
        ("no-agent", "is not a subclass of relay_ingest.agents.Agent"),
    ],
)
def test_a_worker_without_its_agents_does_not_start(monkeypatch, name: str, text: str) -> None:
    """The operator named it, so it is needed."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    with pytest.raises(SettingsError, match="RELAY_AGENTS") as refusal:
        AgentRegistry(AgentSettings.load(agents=(name,)))
    assert text in str(refusal.value)
    sys.modules.pop("troubled", None)


def test_the_example_is_the_documented_one() -> None:
    """docs/guide/agents.md shows the code that is tested."""
    docs = Path(__file__).parents[4] / "docs" / "guide" / "agents.md"
    assert (EXAMPLES / "toner.py").read_text() in docs.read_text()

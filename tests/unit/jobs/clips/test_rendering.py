"""The rendering of a clip: frames of one turn in, its audio and motion out; or why there is none."""

import pytest

from relay_jobs.clips.rendering import RenderFailed, Rendering
from relay_wire import events
from relay_wire.clips import ClipChunk
from relay_wire.frame import Codec, Flags, Frame, Kind, encode
from relay_wire.position import Position

RATE = 16000
PCM = bytes(range(250)) * 64
"""Half a second."""


class Frames:
    """Frames of one conversation, numbered as an owner numbers them."""

    def __init__(self) -> None:
        self.generation, self.seq = 5, 0

    def __call__(self, kind: Kind, payload: bytes = b"", *, end: bool = False) -> bytes:
        self.seq += 1
        flags = Flags.END if end else Flags.NONE
        return encode(Frame(kind, flags, Codec.PCM_S16LE, 1, self.generation, self.seq, 0, 1, payload))

    def event(self, event: events.StreamEvent) -> bytes:
        return self(Kind.EVENT, events.encode(event))


@pytest.fixture
def frames() -> Frames:
    """Frames of a new conversation."""
    return Frames()


@pytest.fixture
def rendering() -> Rendering:
    """The rendering of half a second."""
    return Rendering(PCM, RATE)


def spoken(frames: Frames, *motion: bytes, outcome: events.Outcome = "complete") -> list[bytes]:
    """A whole turn."""
    return [
        frames.event(events.FIRST_OWNER),
        frames.event(events.TurnStarted()),
        frames(Kind.AUDIO, PCM[:4000]),
        frames(Kind.AUDIO, PCM[4000:], end=True),
        *(frames(Kind.MOTION, payload, end=payload == motion[-1]) for payload in motion),
        frames.event(events.TurnEnded(outcome)),
    ]


def test_a_whole_turn(rendering: Rendering, frames: Frames) -> None:
    """Its audio and motion, byte for byte, in the chunks of a turn."""
    rendering.read(spoken(frames, b"m1", b"m2", b"m3"))

    assert rendering.rendered is not None
    assert (rendering.rendered.pcm, rendering.rendered.motion) == (PCM, (b"m1", b"m2", b"m3"))
    chunks = rendering.rendered.chunks(RATE)
    assert [len(chunk.pcm) for chunk in chunks] == [3200] * 5
    assert chunks[0] == ClipChunk(PCM[:3200], (b"m1", b"m2"))
    assert chunks[-1].motion == (b"m3",)
    assert rendering.cursor == Position(5, 8)


def test_the_progress_rises(rendering: Rendering, frames: Frames) -> None:
    """From 0 over the audio's share; below 1 until the clip is stored."""
    steps = [rendering.progress]
    for frame in spoken(frames, b"m" * 4000, b"n" * 90_000):
        rendering.read([frame])
        steps.append(rendering.progress)

    assert steps[0] == 0
    assert steps == sorted(steps)
    assert 0.1 < steps[5] < steps[-1] == 0.95


@pytest.mark.parametrize("outcome", ["audio_only", "failed", "interrupted"])
def test_a_turn_without_all_its_motion(rendering: Rendering, frames: Frames, outcome: events.Outcome) -> None:
    """A clip without motion is none: the reason is that of the turn."""
    with pytest.raises(RenderFailed) as failed:
        rendering.read(spoken(frames, outcome=outcome))

    assert (failed.value.reason, failed.value.retryable) == (outcome, True)


def test_the_reason_is_the_first_error(rendering: Rendering, frames: Frames) -> None:
    """The vendor's code explains more than the switch to audio-only, and that more than the outcome."""
    events_ = [
        frames.event(events.FIRST_OWNER),
        frames.event(events.AudioOnly("motion_timeout")),
        frames(Kind.MOTION, end=True),
        frames.event(events.Error("avatarNotFound", "x", retryable=False)),
        frames.event(events.AudioOnly("other")),
        frames.event(events.TurnEnded("audio_only")),
    ]
    with pytest.raises(RenderFailed, match="avatarNotFound"):
        rendering.read(events_)


def test_an_end_of_the_conversation(rendering: Rendering, frames: Frames) -> None:
    """Before the turn's end the attempt has failed; after it nothing is missing."""
    with pytest.raises(RenderFailed, match="deleted"):
        rendering.read([frames.event(events.FIRST_OWNER), frames.event(events.ConversationEnded("deleted"))])
    done, more = Rendering(PCM, RATE), Frames()

    done.read([*spoken(more, b"m"), more.event(events.ConversationEnded("deleted"))])
    assert done.rendered is not None


def test_missing_frames(rendering: Rendering, frames: Frames) -> None:
    """Retention may have removed what was not read in time: the clip would have a hole."""
    turn = spoken(frames, b"m")
    del turn[2]

    with pytest.raises(RenderFailed, match="frames_missing"):
        rendering.read(turn)


def test_missing_audio(rendering: Rendering, frames: Frames) -> None:
    """A turn that published other audio is not the clip."""
    turn = [
        frames.event(events.FIRST_OWNER),
        frames(Kind.AUDIO, PCM[:-2], end=True),
        frames(Kind.MOTION, b"m"),
    ]

    with pytest.raises(RenderFailed, match="audio_missing"):
        rendering.read([*turn, frames.event(events.TurnEnded("complete"))])


def test_a_turn_without_motion(rendering: Rendering, frames: Frames) -> None:
    """There is nothing to store of it."""
    turn = [frames.event(events.FIRST_OWNER), frames(Kind.AUDIO, PCM, end=True)]

    with pytest.raises(RenderFailed, match="no_motion"):
        rendering.read([*turn, frames.event(events.TurnEnded("complete"))])


@pytest.mark.parametrize("data", [b"", b"\xff" * 40])
def test_what_is_no_frame(rendering: Rendering, data: bytes) -> None:
    """The attempt fails, and nothing else."""
    with pytest.raises(RenderFailed, match="unreadable_frame"):
        rendering.read([data])


def test_an_event_that_cannot_be_read(rendering: Rendering, frames: Frames) -> None:
    """Likewise."""
    with pytest.raises(RenderFailed, match="unreadable_frame"):
        rendering.read([frames.event(events.FIRST_OWNER), frames(Kind.EVENT, b"{")])


def test_an_empty_clip_has_a_progress() -> None:
    """Nothing is divided by nothing."""
    assert Rendering(b"", RATE).progress == 0

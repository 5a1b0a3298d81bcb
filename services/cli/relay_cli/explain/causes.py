"""Causes: which hop a stall was due to.

An owner publishes nothing while there is none, and Motion Server computes motion from audio, so that motion
cannot come before the audio it belongs to.
"""

import math
from typing import NamedTuple

from relay_cli.explain.playback import Stall
from relay_cli.explain.turn import Turn

SLACK_S = 0.02
"""Motion is rounded to whole frames of animation."""


class Causes(NamedTuple):
    """The parts of a stall, in seconds."""

    owner_s: float = 0.0
    """There was no owner."""
    speech_s: float = 0.0
    """The speaker had sent no more audio."""
    motion_s: float = 0.0
    """Motion Server had the audio, and had not answered."""

    def __str__(self) -> str:
        parts = {"no owner": self.owner_s, "no speech": self.speech_s, "Motion Server": self.motion_s}
        return ", ".join(f"{name} {seconds:.3f} s" for name, seconds in parts.items() if seconds >= SLACK_S)


def of_audio(turn: Turn, stall: Stall) -> Causes:
    """Audio is late while there is no owner, else for want of speech."""
    owner_s = _without_owner(turn, stall.since_s, stall.until_s)
    return Causes(owner_s=owner_s, speech_s=stall.seconds - owner_s)


def of_motion(turn: Turn, stall: Stall) -> Causes:
    """Motion is late while there is no owner, while its audio is not published, else by Motion Server."""
    owner_s = _without_owner(turn, stall.since_s, stall.until_s)
    audio_s = max(stall.since_s, min(stall.until_s, audio_published_at_s(turn, stall.media_s)))
    speech_s = audio_s - stall.since_s - _without_owner(turn, stall.since_s, audio_s)
    return Causes(owner_s, speech_s, stall.seconds - owner_s - speech_s)


def audio_published_at_s(turn: Turn, media_s: float) -> float:
    """When so much audio was published; else when the last was; without any, before everything."""
    so_far_s = 0.0
    for frame in turn.audio:
        so_far_s += turn.duration_s(frame)
        if so_far_s >= media_s - SLACK_S:
            return frame.published_at_s
    return turn.audio[-1].published_at_s if turn.audio else -math.inf


def _without_owner(turn: Turn, since_s: float, until_s: float) -> float:
    return sum(
        max(0.0, min(until_s, first.published_at_s) - max(since_s, before.published_at_s))
        for before, first in turn.owner_changes
    )

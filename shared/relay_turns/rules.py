"""Rules: the settings of the turn machine."""

import msgspec

from relay_turns.playback import PlaybackLimits


class Rules(msgspec.Struct, frozen=True):
    """The settings of the turn machine. Times are in seconds, lengths of audio in milliseconds."""

    sample_rate: int
    first_motion_timeout_s: float = 5.0
    """From the audio of a first window to the first motion."""
    motion_stall_timeout_s: float = 10.0
    """From the audio of a further window, or the end of input, to the next motion."""
    input_timeout_s: float = 30.0
    """From one chunk of a turn to the next."""
    playback: PlaybackLimits = PlaybackLimits(grace_s=0.5, report_s=10.0, viewers=64)
    """How long the next turn waits for viewers that still play the last one."""
    first_window_ms: int = 500
    """The audio after which Motion Server first answers (facts 3 and 12)."""
    next_window_ms: int = 4000
    """The audio after which a further answer is certainly due: twice the observed window (facts 3)."""

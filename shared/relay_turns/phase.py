"""Phases: the states of a conversation's last turn and of that turn's audio, as the record stores them."""

from typing import Literal

Phase = Literal["idle", "speaking", "playing", "closed"]
"""Where the conversation stands: no turn runs; a turn's frames are being published; all of them are
published, and viewers still play them; the last frame is published."""
InputState = Literal["open", "ended", "cut"]
"""A turn's audio: incomplete, complete, or cancelled."""

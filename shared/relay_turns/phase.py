"""Phases: what the record says of a conversation's last turn and of that turn's audio."""

from typing import Literal

Phase = Literal["idle", "speaking", "playing", "closed"]
"""Where the conversation stands: no turn runs; a turn's frames are being published; all of them are
published, and viewers still play them; the last frame is published."""
InputState = Literal["open", "ended", "cut"]
"""A turn's audio: still coming, complete, or cancelled."""

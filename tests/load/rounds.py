"""Rounds: the rules by which the vendor's clients play what the relay sends on ``/ws/agent``. Pure.

A client opens a round at a turn's first audio, plays motion of that round alone, and rests after the round's
last audio. It drops motion of another round, and waits without end for a round that is not closed.
"""

import json
from dataclasses import dataclass, field
from typing import Any

TURNS = 64
"""Closed turns that are remembered."""


class Breach(Exception):
    """Raised when a message breaks a rule; the text names it."""


@dataclass(slots=True)
class Rounds:
    """The rounds of one socket."""

    turn: str = ""
    """The turn of the last round."""
    closed: int = 0
    """Rounds that were closed."""
    ended: bool = False
    """Whether the relay sent that the conversation is over."""
    _open: bool = False
    _motion: bool = False
    _past: list[str] = field(default_factory=list)

    def receive(self, text: str | bytes) -> str:
        """Check one message; returns its type.

        Raises:
            Breach: The client could not play it.
        """
        try:
            message = json.loads(text)
            kind: str = message["type"]
            match kind:
                case "avatar_audio":
                    self._audio(message["turnId"], last=message["isLast"])
                case "avatar_frames":
                    self._frames(message)
                case "interrupt":
                    self._motion = False
                case "status":
                    self.ended = self.ended or "the conversation is over" in message["message"]
        except (KeyError, TypeError, ValueError) as error:
            raise Breach(f"not a message of the relay: {type(error).__name__}") from None
        return kind

    def _audio(self, turn: str, *, last: bool) -> None:
        if turn != self.turn:
            if self._open:
                raise Breach("a turn began while the round before it was open")
            if turn in self._past:
                raise Breach("a turn was played twice")
            self.turn, self._open, self._motion = turn, True, True
        elif not self._open:
            raise Breach("audio after the last audio of its turn")
        if last:
            self._open = False
            self.closed += 1
            self._past = [*self._past[1 - TURNS :], turn]

    def _frames(self, message: dict[str, Any]) -> None:
        if not message["frames"]:
            raise Breach("an empty list of motion")
        if message["turnId"] != self.turn or not self._motion:
            raise Breach("motion outside its round")
        self._motion = not message["isLast"]

"""The vendor's client, re-created from its published rules (facts 4.3, 5.3).

A controller as its SDK has it, and the app's message handling around it.
"""

import json
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any

MAX_TEXT_BYTES = 2**20


@dataclass
class Round:
    """What the controller was given under one conversation id."""

    audio: bytes = b""
    frames: list[bytes] = field(default_factory=list)
    ended: bool = False
    interrupted: bool = False


class Controller:
    """The SDK's controller: strict, where the real one silently drops, hangs or speaks over itself."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []

    def yield_audio(self, audio: bytes, *, end: bool) -> int:
        """Audio of the running round, or the first of a new one; its conversation id."""
        if not self.rounds or self.rounds[-1].ended or self.rounds[-1].interrupted:
            self.rounds.append(Round())
        self.rounds[-1].audio += audio
        self.rounds[-1].ended = end
        return len(self.rounds)

    def yield_frames(self, frames: list[bytes], conversation: int) -> None:
        assert frames, "an empty list would switch the round to audio for good"
        assert all(frames), "a payload is a whole message of the vendor's"
        assert conversation == len(self.rounds), "motion under an old id is dropped"
        assert not self.rounds[-1].interrupted, "motion of an interrupted round is dropped"
        self.rounds[-1].frames += frames

    def interrupt(self) -> None:
        if self.rounds:
            self.rounds[-1].interrupted = True


class AvatarClient:
    """The app's message handling, as the newest generation does it, and the oldest beside it."""

    def __init__(self) -> None:
        self.controller = Controller()
        self.others: list[dict[str, Any]] = []
        """Everything that is not audio, motion or an interrupt."""
        self.turns: dict[str, list[int]] = {}
        """The round ids under which each turn was played."""
        self.closings: dict[str, int] = {}
        self.interrupts: list[str] = []
        self._id: int | None = None
        self._first_ids: dict[str, int] = {}

    def receive(self, text: str | bytes) -> None:
        """One text message."""
        assert len(text) < MAX_TEXT_BYTES
        message = json.loads(text)
        match message["type"]:
            case "avatar_audio":
                self._hear_audio(message)
            case "avatar_frames":
                self._see_frames(message)
            case "interrupt":
                assert message["reason"] in ("client_interrupt", "agent_interrupt")
                self.controller.interrupt()
                self.interrupts.append(message["reason"])
                self._id = None
            case _:
                self.others.append(message)

    @property
    def awaits_motion(self) -> bool:
        """Whether a round is open to motion: the last of it has not come."""
        return self._id is not None

    def messages_of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.others if message["type"] == kind]

    def _hear_audio(self, message: dict[str, Any]) -> None:
        turn, last = message["turnId"], message["isLast"]
        self._id = self.controller.yield_audio(b64decode(message["audio"], validate=True), end=last)
        self.closings[turn] = self.closings.get(turn, 0) + last
        rounds = self.turns.setdefault(turn, [])
        if self._id not in rounds:
            rounds.append(self._id)
        self._first_ids.setdefault(turn, self._id)

    def _see_frames(self, message: dict[str, Any]) -> None:
        assert self._id is not None, "motion without an id is dropped"
        assert self._first_ids[message["turnId"]] == self._id, "the oldest clients go by the turn's first id"
        self.controller.yield_frames([b64decode(f, validate=True) for f in message["frames"]], self._id)
        if message["isLast"]:
            self._id = None

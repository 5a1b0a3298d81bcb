"""The expected frames of a conversation, from its speech and its motion.

The verifier shows that every viewer has the store's frames. This shows that the store's frames are the
right ones: audio in once, motion unchanged, the rules of a turn kept.
"""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay_simulator.motion import expected_payloads

_HEADER = struct.Struct(">BBBBIQIIQ")
_AUDIO, _MOTION, _EVENT = 1, 2, 3
_END = 1


@dataclass
class Spoken:
    """The audio that a backend sent in one turn."""

    pcm: bytes
    acknowledged: bool = False
    """Whether the relay acknowledged all of it."""


@dataclass
class Turn:
    """One turn as it was published."""

    order: list[str] = field(default_factory=list)
    audio: bytearray = field(default_factory=bytearray)
    motion: list[bytes] = field(default_factory=list)
    audio_ends: int = 0
    outcome: str = ""

    def add(self, kind: int, flags: int, payload: bytes) -> None:
        """Take the next frame of it."""
        if kind == _AUDIO:
            self.audio += payload
            self.audio_ends += flags & _END
            self.order.append("audio")
        elif kind == _MOTION:
            self.motion.append(payload)
            self.order.append("motion" if payload else "switch")
        else:
            event = json.loads(payload)
            self.outcome = event.get("outcome", self.outcome)
            self.order.append(event["type"])


def turns_of(frames: Sequence[bytes]) -> dict[int, Turn]:
    """A conversation's turns, from its frames in order of position."""
    turns: dict[int, Turn] = {}
    for data in frames:
        _, kind, flags, _, turn, _, _, _, _ = _HEADER.unpack_from(data)
        if turn:
            turns.setdefault(turn, Turn()).add(kind, flags, data[_HEADER.size :])
    return turns


def breaches(
    frames: Sequence[bytes], spoken: Mapping[int, Spoken], requests: Sequence[Mapping[str, Any]], seed: int
) -> list[str]:
    """What is wrong with a conversation's frames; nothing when all is well.

    Args:
        frames: All of them, in order of position.
        spoken: By turn, what went in.
        requests: What the simulator answered for this conversation's avatar.
        seed: The simulator's.
    """
    wrong: list[str] = []
    turns = turns_of(frames)
    for number, spoken_turn in spoken.items():
        if spoken_turn.acknowledged and number not in turns:
            wrong.append(f"turn {number}: acknowledged and never published")
    for number, turn in turns.items():
        spoken_turn = spoken.get(number, Spoken(b""))
        found = [*_rules(turn), *_audio(turn, spoken_turn), *_motion(turn, spoken_turn, requests, seed)]
        wrong += [f"turn {number}: {what}" for what in found]
    return wrong


def _rules(turn: Turn) -> list[str]:
    order = turn.order
    wrong = []
    if order[0] != "turn_started" or order.count("turn_started") != 1:
        wrong.append("turn_started is not first, or not alone")
    if order.count("turn_ended") != 1:
        wrong.append(f"turn_ended {order.count('turn_ended')} times: {order[:3]}...{order[-3:]}")
    elif set(order[order.index("turn_ended") + 1 :]) - {"interrupted"}:
        wrong.append(f"after turn_ended came {order[order.index('turn_ended') + 1 :]}")
    if turn.audio_ends != 1:
        wrong.append(f"{turn.audio_ends} END audio frames")
    if "switch" in order and {"motion", "switch"} & set(order[order.index("switch") + 1 :]):
        wrong.append("motion after the switch to audio-only")
    if "motion" in order and order.index("motion") < order.index("audio"):
        wrong.append("motion before audio")
    return wrong


def _audio(turn: Turn, spoken_turn: Spoken) -> list[str]:
    if bytes(turn.audio) == spoken_turn.pcm:
        return []
    if turn.outcome in ("interrupted", "failed") and spoken_turn.pcm.startswith(turn.audio):
        return []
    return [f"{len(turn.audio)} bytes of audio ({turn.outcome}) differ from the {len(spoken_turn.pcm)} sent"]


def _motion(turn: Turn, spoken_turn: Spoken, requests: Sequence[Mapping[str, Any]], seed: int) -> list[str]:
    payloads = [payload for payload in turn.motion if payload]
    digests = [hashlib.sha256(payload).hexdigest() for payload in payloads]
    if turn.outcome == "complete":
        for request in requests:
            if request["payload_sha256"] == digests:
                names = ("connection_id", "req_id", "sample_rate")
                computed = expected_payloads(seed=seed, pcm=spoken_turn.pcm, **{n: request[n] for n in names})
                return [] if computed == payloads else ["motion of other audio"]
        return [f"{len(payloads)} motion payloads that Motion Server did not send like this"]
    if any(request["payload_sha256"][: len(digests)] == digests for request in requests) or not payloads:
        return []
    return [f"{len(payloads)} motion payloads that Motion Server did not begin with"]

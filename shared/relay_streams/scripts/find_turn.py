"""Find a turn: how far its input is."""

from collections.abc import Mapping
from typing import Final, NamedTuple, get_args

from relay_redis.replies import Reply, word
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load
from relay_streams.scripts.uplink_rejection import rejection
from relay_turns.phase import InputState

INPUT_STATES: Mapping[bytes, InputState] = {state.encode(): state for state in get_args(InputState)}

FIND_TURN: Final = load(
    "find_turn",
    word("unknown", "ended", "missing", **{"in": (int, int, bytes, bytes)}, fenced=(bytes,)),
    after=("uplink_bounds", "turn_input"),
)


class TurnInputState(NamedTuple):
    """How far a turn's audio is."""

    turn: int
    offset: int
    """Bytes that are appended."""
    state: InputState
    key: str
    """The key it was opened with."""


def find_turn(keys: ConversationKeys, *, turn: int, key: str, silence_ms: int) -> Call[TurnInputState | None]:
    """Find one of the last eight turns, by its number or its key; None when it is not among them."""
    return Call(FIND_TURN, (keys.meta, keys.up), (turn, key, silence_ms, ""), _read)


def _read(reply: Reply) -> TurnInputState | None:
    if reply[0] == b"unknown":
        return None
    if reply[0] != b"in":
        raise rejection(reply)
    return TurnInputState(reply[1], reply[2], INPUT_STATES[reply[3]], reply[4].decode())

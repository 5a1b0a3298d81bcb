"""Hold a turn: it stays open although no audio comes."""

from functools import partial
from typing import Final

from relay_redis.replies import Reply, word
from relay_streams.errors import TurnClosed
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load
from relay_streams.scripts.uplink_rejection import rejection

HOLD_TURN: Final = load(
    "hold_turn",
    word(
        "unknown", "ended", "missing",
        **{"in": (int, int, bytes, bytes)}, over=(int, int, bytes), fenced=(bytes,),
    ),
    after=("uplink_bounds", "turn_input"),
)  # fmt: skip


def hold_turn(
    keys: ConversationKeys,
    *,
    turn: int,
    key: str,
    silence_ms: int,
    longest_ms: int,
    limits: tuple[int, int],
) -> Call[None]:
    """Hold a turn for at most ``longest_ms`` after its last audio.

    ``limits`` are the most entries and bytes that may wait. The call raises ``TurnClosed`` when the turn
    is not open.
    """
    return Call(
        HOLD_TURN,
        (keys.meta, keys.up),
        (turn, key, silence_ms, "", longest_ms, *limits),
        partial(_read, turn),
    )


def _read(turn: int, reply: Reply) -> None:
    match reply[0]:
        case b"in" if reply[3] == b"open":
            return
        case b"in" | b"over":
            raise TurnClosed(reply[1])
        case b"unknown":
            raise TurnClosed(turn)
    raise rejection(reply)

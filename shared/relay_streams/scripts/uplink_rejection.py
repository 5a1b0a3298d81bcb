"""Uplink rejection: the error of a reply that an uplink script gives instead of its result."""

from collections.abc import Callable, Mapping
from functools import partial

from relay_redis.errors import StoreError
from relay_redis.replies import Reply
from relay_streams.errors import (
    Ended,
    Fenced,
    InputMismatch,
    Missing,
    OffsetGap,
    SpeakerBusy,
    TurnClosed,
    UplinkFull,
)

_PLAIN: Mapping[bytes, Callable[[], StoreError]] = {
    b"full": UplinkFull,
    b"ended": partial(Ended, "the conversation is over"),
    b"missing": partial(Missing, "there is no such conversation"),
}


def rejection(reply: Reply) -> StoreError:
    """The error that a reply stands for."""
    match reply[0]:
        case b"over" if reply[3] != b"cut":
            return InputMismatch(reply[1], reply[2])
        case b"behind":
            return OffsetGap(reply[1], reply[2])
        case b"fenced":
            return Fenced(int(reply[1]))
        case b"over" | b"busy" as word:
            return TurnClosed(reply[1]) if word == b"over" else SpeakerBusy(reply[1])
    return _PLAIN[reply[0]]()

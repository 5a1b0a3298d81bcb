"""Faults: how the stand-in fails on demand. The table of facts 12, by name."""

from typing import Annotated

import msgspec

TOKEN = frozenset(
    {"http_401", "http_402", "http_429", "http_500", "errors_in_ok", "no_token", "hang", "html"}
)
BOOTSTRAP = frozenset({"http_500", "hang", "no_region"})
UPGRADE = frozenset({"invalid_token", "avatar_not_found", "http_402", "http_500", "hang"})
HANDSHAKE = frozenset({"error_3", "error_14", "error_16", "silent", "wrong_type", "text"})
ROOM = frozenset({"lost_finish"})
SESSION = frozenset(
    {
        "error_4001", "error_4002", "close", "abort", "freeze", "oversize", "huge", "idle_timeout",
        "duplicate_end", "missing_end", "late_frames", "interleaved", "no_motion", "stall", "garbage", "text",
    }
)  # fmt: skip
PLACES = {
    "token": TOKEN,
    "bootstrap": BOOTSTRAP,
    "upgrade": UPGRADE,
    "handshake": HANDSHAKE,
    "session": SESSION,
    "room": ROOM,
}


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """One armed fault."""

    at: str
    """Where: a key of ``PLACES``."""
    fault: str
    """What: a name listed there."""
    times: Annotated[int, msgspec.Meta(ge=1)] = 1
    """How many requests or sessions it hits, the next ones first; in a room, how many playbacks."""
    avatar_id: str | None = None
    """Only sessions of this avatar; it cannot narrow token and bootstrap requests."""
    after_payloads: Annotated[int, msgspec.Meta(ge=0)] = 1
    """In a session: how many payloads go out before it strikes; with a room these are the ends alone."""
    code: int = 1011
    """For ``close``: the close code, as 1000, 1001, 1011, 4001, 4002."""

    def __post_init__(self) -> None:
        names = PLACES.get(self.at)
        if names is None:
            raise ValueError(f"at: one of {', '.join(PLACES)}")
        if self.fault not in names:
            raise ValueError(f"fault: one of {', '.join(sorted(names))}")


class Faults:
    """The faults that wait for their moment, in the order they were armed."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []

    def arm(self, fault: Fault) -> None:
        """Let it happen from now on."""
        self._armed.append(fault)

    def clear(self) -> None:
        """Disarm everything."""
        self._armed.clear()

    def take(self, at: str, avatar_id: str | None = None) -> Fault | None:
        """The fault that happens here and now, if any; it is used up once per call."""
        for fault in self._armed:
            if fault.at == at and fault.avatar_id in (None, avatar_id):
                fault.times -= 1
                if not fault.times:
                    self._armed.remove(fault)
                return fault
        return None

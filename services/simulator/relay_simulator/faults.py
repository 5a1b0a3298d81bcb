"""Faults: failures of the simulator on demand; the table of facts 12, by name."""

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
    """The place: a key of ``PLACES``."""
    fault: str
    """The name: one listed for that place."""
    times: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Number of the next requests or sessions that it affects; in a room, of playbacks."""
    avatar_id: str | None = None
    """Affects only sessions of this avatar; no effect on token and bootstrap requests."""
    after_payloads: Annotated[int, msgspec.Meta(ge=0)] = 1
    """In a session: number of payloads sent before the fault; with a room only ends count."""
    code: int = 1011
    """For ``close``: the close code, as 1000, 1001, 1011, 4001, 4002."""

    def __post_init__(self) -> None:
        names = PLACES.get(self.at)
        if names is None:
            raise ValueError(f"at: one of {', '.join(PLACES)}")
        if self.fault not in names:
            raise ValueError(f"fault: one of {', '.join(sorted(names))}")


class Faults:
    """The armed faults, in the order in which they were armed."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []

    def arm(self, fault: Fault) -> None:
        """Arm a fault."""
        self._armed.append(fault)

    def clear(self) -> None:
        """Disarm all faults."""
        self._armed.clear()

    def consume(self, at: str, avatar_id: str | None = None) -> Fault | None:
        """The first armed fault for this place and avatar, if any. Each call uses it once."""
        for fault in self._armed:
            if fault.at == at and fault.avatar_id in (None, avatar_id):
                fault.times -= 1
                if not fault.times:
                    self._armed.remove(fault)
                return fault
        return None

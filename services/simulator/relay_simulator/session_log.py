"""The session log: how long each session was connected, and its credits, for tests to compare with."""

import time
from dataclasses import dataclass
from typing import Any

from relay_wire.billing import credits_of


@dataclass(slots=True)
class SessionLog:
    """One session, from its confirmation until its connection was closed: what the vendor bills."""

    connection_id: str
    avatar_id: str
    opened_at: float
    """Wall time, in seconds since the epoch."""
    closed_at: float | None = None
    """None while it is open."""

    def close(self) -> None:
        """Record that the connection is closed now."""
        self.closed_at = time.time()

    def as_json(self) -> dict[str, Any]:
        """The JSON of the admin resource; an open session counts until now."""
        seconds = (self.closed_at or time.time()) - self.opened_at
        return {
            "connection_id": self.connection_id,
            "avatar_id": self.avatar_id,
            "opened_at": self.opened_at,
            "closed_at": self.closed_at,
            "seconds": round(seconds, 3),
            "credits": credits_of(seconds),
        }

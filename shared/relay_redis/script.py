"""Scripts: Lua that Redis runs atomically, called by its SHA-1."""

import hashlib
from typing import NamedTuple

from relay_redis.replies import Check


class Script(NamedTuple):
    """One Lua script."""

    name: str
    """For logs."""
    text: str
    sha: str
    """The digest EVALSHA calls it by."""
    reply: Check
    """Checks its reply."""

    @classmethod
    def of(cls, name: str, text: str, reply: Check) -> "Script":
        """A script with the digest of its text."""
        return cls(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), reply)

"""Refusals: the error replies of Redis, and what each of them means for the caller.

Most of them are about the server or its user: it loads its data, it is a replica, its memory is full, the
user lacks a permission, a proxy does not know the command. Those pass by themselves or after an operator
acts, so the same command may succeed later. Only a few mean that the command itself cannot succeed on this
data.
"""

from collections.abc import Mapping
from typing import Final

from redis import exceptions

from relay_redis.errors import Refused, StoreError, Unavailable
from relay_settings.redis_url import Address

LIMIT: Final = 200
"""Most characters of an error reply in a log line, an error or a readiness reason."""

_ARGUMENTS = ", with args beginning with"
"""The caller's arguments follow, which may not reach logs or other callers."""

UNKNOWN_COMMAND: Final = "unknown-command"

_ERR_REASONS: Mapping[str, str] = {
    "the user executing the script can't": "NOPERM",
    "acl failure in script": "NOPERM",
    "unknown command": UNKNOWN_COMMAND,
    "unknown subcommand": UNKNOWN_COMMAND,
    "unknown redis command": UNKNOWN_COMMAND,
    "unsupported": UNKNOWN_COMMAND,
    "not supported": UNKNOWN_COMMAND,
}
"""Parts of ``ERR`` replies, in lower case, and the reason that each stands for."""

REASONS: Final = (
    "ASK", "BUSY", "CLUSTERDOWN", "ERR", "LOADING", "MASTERDOWN", "MISCONF", "MOVED", "NOAUTH", "NOPERM",
    "NOREPLICAS", "NOSCRIPT", "OOM", "READONLY", "TRYAGAIN", UNKNOWN_COMMAND, "WRONGTYPE", "other",
)  # fmt: skip
"""Values of ``Refusal.reason``."""

RECONNECT_ON: Final = frozenset({"READONLY", "MASTERDOWN", "LOADING", "NOAUTH"})
"""Reasons to reconnect: this server is no primary now, or the connection is no longer authenticated."""

_DEFECTS = (
    "user_script:",
    "error running script",
    "wrong number of arg",
    "syntax error",
    "is not an integer",
    "is not a valid",
    "out of range",
    "invalid stream id",
    "the id specified",
    "exhausted the last possible id",
)
"""Parts of ``ERR`` replies to commands that cannot succeed on the data they meet."""


class Refusal(Exception):
    """An error reply, with the server's text.

    Attributes:
        code: Its first word: ``NOSCRIPT``, ``MOVED``, ``NOPERM``; ``ERR`` for most.
        words: The text, truncated and without the command's arguments.
        reason: One of ``REASONS``.
    """

    def __init__(self, text: str) -> None:
        self.words = text.partition(_ARGUMENTS)[0][:LIMIT]
        super().__init__(self.words)
        self.code = text.partition(" ")[0]
        self._text = text
        self.reason = self._reason()

    def _reason(self) -> str:
        if self.code == "ERR":
            text = self.words.lower()
            return next((reason for part, reason in _ERR_REASONS.items() if part in text), "ERR")
        return self.code if self.code in REASONS else "other"

    @property
    def redirects(self) -> bool:
        """Whether another node of the cluster serves the command."""
        return self.code in ("MOVED", "ASK")

    def redirect(self, sender: Address) -> tuple[int, Address]:
        """The slot, and the node that serves it. A node that does not know the other's name leaves it out.

        Raises:
            InvalidResponse: The reply has neither.
        """
        try:
            _, slot, where = self._text.split(" ")[:3]
            host, _, port = where.rpartition(":")
            return int(slot), Address(host or sender.host, int(port))
        except ValueError:
            raise exceptions.InvalidResponse(f"a redirect without a target: {self.words}") from None

    def store_error(self) -> StoreError:
        """The error for the caller: ``Refused`` for a defect of the command, else ``Unavailable``."""
        if self.redirects:
            return Unavailable(
                f"the server is a cluster node, but the URL is not a cluster URL: {self.words}"
            )
        text = self.words.lower()
        if self.code == "WRONGTYPE" or (self.reason == "ERR" and any(part in text for part in _DEFECTS)):
            return Refused(self.words)
        return Unavailable(self.words)

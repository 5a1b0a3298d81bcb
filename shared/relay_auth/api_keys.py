"""API keys: the credentials of the app's backend at control, each with scopes.

A key is ``ark_<id>_<secret>``. Control is configured with ``<id>:<SHA-256 of the key>:<scopes>``, from which
nobody can derive the key. A plain digest suffices, since the secret is random.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

_PREFIX = "ark"
_ID_BYTES = 4
_SECRET_BYTES = 32
_ENTRY = re.compile(r"([a-z0-9]{4,32}):([0-9a-f]{64}):([a-z+]+)\Z")
_NOBODY = bytes(32)


class Scope(StrEnum):
    """A permission of a key."""

    CREATE = "create"
    """Create, read and end conversations."""
    PUSH = "push"
    """Speak and interrupt."""
    TOKENS = "tokens"
    """Make viewer tokens, and the vendor's session tokens."""
    ADMIN = "admin"
    """Everything."""


class KeyEntryError(ValueError):
    """Raised when a text is not an entry. It never contains the text: that may be a key by mistake."""


class ApiKey(NamedTuple):
    """A key as control is configured with it: its id, digest and scopes."""

    id: str
    digest: bytes
    scopes: frozenset[Scope]

    @classmethod
    def parse(cls, entry: str) -> "ApiKey":
        """Parse ``<id>:<SHA-256 in hex>:<scopes joined by +>``.

        Raises:
            KeyEntryError: The text has another form, or a scope is unknown.
        """
        found = _ENTRY.match(entry)
        names = found[3].split("+") if found else []
        if found is None or not set(names) <= set(Scope):
            raise KeyEntryError("a key is <id>:<sha256>:<scopes>; `avatar-relay keys new` makes one")
        scopes = frozenset(map(Scope, names))
        return cls(found[1], bytes.fromhex(found[2]), scopes)

    def __str__(self) -> str:
        return f"{self.id}:{self.digest.hex()}:{'+'.join(sorted(self.scopes))}"

    def allows(self, scope: Scope) -> bool:
        """Whether the key has this scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class ApiKeys:
    """The keys that are valid now: several at once, so that keys can be rotated.

    Raises:
        KeyEntryError: An entry is malformed, or two have the same id.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._keys: dict[str, ApiKey] = {}
        for entry in entries:
            key = ApiKey.parse(entry)
            if key.id in self._keys:
                raise KeyEntryError(f"two keys have the id {key.id}")
            self._keys[key.id] = key

    def find(self, presented: str) -> ApiKey | None:
        """The presented key if it is valid. An unknown id takes as long as a wrong secret."""
        parts = presented.split("_", 2)
        key = self._keys.get(parts[1]) if len(parts) > 2 else None  # prefix, id, secret
        matches = hmac.compare_digest(_digest(presented), key.digest if key else _NOBODY)
        return key if matches else None


def new_key(scopes: Iterable[Scope]) -> tuple[str, ApiKey]:
    """Create a key: its text, to be shown once, and control's entry for it."""
    key_id = secrets.token_hex(_ID_BYTES)
    text = f"{_PREFIX}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return text, ApiKey(key_id, _digest(text), frozenset(scopes))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()

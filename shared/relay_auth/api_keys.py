"""API keys: how the app's backend proves itself to control."""

import hmac
from collections.abc import Iterable


class ApiKeys:
    """The keys that are valid now. Compared in constant time, all of them, whatever was presented."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def __contains__(self, presented: str) -> bool:
        given = presented.encode()
        matches = [hmac.compare_digest(given, key) for key in self._keys]
        return any(matches)

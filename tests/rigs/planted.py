"""Planted secrets: nothing of the suite's settings may show up in what anything of the suite logs."""

import re
from collections.abc import Iterable, Mapping

PATTERN = re.compile(r"planted-secret[\w-]*|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}")
"""Secrets that tests make up begin so, and every viewer token is a JWT."""
_SECRETS = ("RELAY_TOKEN_SECRET", "RELAY_API_KEYS", "RELAY_REDIS_PASSWORD", "SPATIUS_API_KEY")


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """The secrets a process was started with."""
    return [part for name in _SECRETS for part in environment.get(name, "").split(",") if part]


def leaked(text: str, secrets: Iterable[str] = ()) -> str:
    """Where a log shows a secret: the line, cut before it; empty when it shows none."""
    places = [text.find(secret) for secret in secrets]
    if found := PATTERN.search(text):
        places.append(found.start())
    place = min((place for place in places if place >= 0), default=None)
    return "" if place is None else text[:place].rpartition("\n")[2] + "<here>"

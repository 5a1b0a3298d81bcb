"""Endpoints: where webhooks are sent, by API key, as a JSON file has them. Pure.

    {"<id of an API key, or *>": [{"url": ..., "secrets": [...], "events": [...], "name": ...}]}

A secret is ``whsec_...`` itself, or the name of a variable or file of secrets that has it,
``RELAY_WEBHOOK_SECRET...``.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec

from relay_jobs.webhooks.addresses import AllowedHosts, is_public
from relay_jobs.webhooks.signature import SECRET_PREFIX, BadSecret, secret_key
from relay_settings.webhooks import SECRET_PREFIX as VARIABLE_PREFIX

T = TypeVar("T")

EVERY_KEY: Final = "*"
"""Stands for the conversations of every API key, and for those that no key created."""
EVENTS: Final = frozenset(
    {
        "conversation.started", "conversation.ended", "conversation.degraded", "conversation.recovered",
        "turn.ended", "clip.ready", "clip.failed",
    }
)  # fmt: skip
"""The types of events that are sent."""
_KEY_ID: Final = re.compile(r"[a-z0-9]{4,32}")
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_VARIABLE: Final = re.compile(rf"{VARIABLE_PREFIX}[A-Z0-9_]*")
_NAME_DIGITS: Final = 12


class BadEndpoints(ValueError):
    """Raised when the file cannot be used. The text names the field, and has no secret and no URL."""


@dataclass(frozen=True)
class Endpoint:
    """One receiver. Its repr has no secret, and no URL: that may contain one."""

    name: str
    """Unique among all endpoints."""
    key_id: str
    """The API key whose conversations it is for, or ``EVERY_KEY``."""
    url: str = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)
    """All current keys, newest first."""
    events: frozenset[str] = EVENTS

    @property
    def host(self) -> str:
        """The host of the URL."""
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True)
class Rules:
    """Which URLs are allowed."""

    hosts: AllowedHosts
    http: bool = False
    """Whether plain http is."""
    private_networks: bool = False
    """Whether addresses that are not public are."""


class Endpoints:
    """All endpoints of a relay."""

    def __init__(self, endpoints: Sequence[Endpoint] = ()) -> None:
        self.by_name: Final[Mapping[str, Endpoint]] = {endpoint.name: endpoint for endpoint in endpoints}
        self._by_key: dict[str, list[Endpoint]] = {}
        for endpoint in endpoints:
            self._by_key.setdefault(endpoint.key_id, []).append(endpoint)

    def of(self, key_id: str, event_type: str) -> list[Endpoint]:
        """The endpoints of an event: those of the key, then those of every key."""
        wanted = [*self._by_key.get(key_id, ()), *self._by_key.get(EVERY_KEY, ())]
        return [endpoint for endpoint in wanted if event_type in endpoint.events]


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    secrets: list[str]
    events: list[str] = []
    name: str = ""


def parse(text: bytes, rules: Rules, variables: Mapping[str, str]) -> Endpoints:
    """Read the endpoints of a file.

    Args:
        text: The file's content.
        rules: Which URLs are allowed.
        variables: By name, the variables and files of secrets that secrets may be in.

    Raises:
        BadEndpoints: Something in it is not allowed.
    """
    endpoints: list[Endpoint] = []
    for key_id, entries in _decode(text, dict[str, list[msgspec.Raw]], "the file").items():
        if key_id != EVERY_KEY and not _KEY_ID.fullmatch(key_id):
            _refuse("a name at the top of the file", f"must be the id of an API key, or {EVERY_KEY}")
        for index, raw in enumerate(entries):
            place = f"{key_id}[{index}]"
            endpoint = _endpoint(key_id, _decode(raw, _Entry, place), place, rules, variables)
            if any(endpoint.name == other.name for other in endpoints):
                _refuse(f"{place}.name", "another endpoint has this name, or this key and URL without a name")
            endpoints.append(endpoint)
    return Endpoints(endpoints)


def _endpoint(key_id: str, entry: _Entry, place: str, rules: Rules, variables: Mapping[str, str]) -> Endpoint:
    _check_url(_split(entry.url, f"{place}.url"), f"{place}.url", rules)
    if not entry.secrets:
        _refuse(f"{place}.secrets", "needs at least one secret")
    keys = tuple(
        _key(secret, f"{place}.secrets[{index}]", variables) for index, secret in enumerate(entry.secrets)
    )
    for index, event in enumerate(entry.events):
        if event not in EVENTS:
            _refuse(f"{place}.events[{index}]", f"must be one of {', '.join(sorted(EVENTS))}")
    if entry.name and not _NAME.fullmatch(entry.name):
        _refuse(f"{place}.name", "must have 1 to 40 of a-z, 0-9 and -, with - only inside")
    name = entry.name or hashlib.sha256(f"{key_id} {entry.url}".encode()).hexdigest()[:_NAME_DIGITS]
    return Endpoint(name, key_id, entry.url, keys, frozenset(entry.events) or EVENTS)


def _decode(text: bytes | msgspec.Raw, kind: type[T], place: str) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        _refuse(place, str(error))
    except RecursionError:
        _refuse(place, "is nested too deeply")


def _split(url: str, place: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises when it is no number
    except ValueError:
        _refuse(place, "is not a URL")
    return parts


def _check_url(url: SplitResult, place: str, rules: Rules) -> None:
    if url.scheme != "https" and not (url.scheme == "http" and rules.http):
        _refuse(place, "must begin with https://" + (" or http://" if rules.http else ""))
    if url.username is not None or url.fragment:
        _refuse(place, "must have no user and no fragment")
    host = url.hostname or ""
    if not rules.hosts.allow(host):
        _refuse(place, "has a host that RELAY_WEBHOOK_HOSTS does not name")
    if _is_address(host) and not (rules.private_networks or is_public(host)):
        _refuse(place, "has an address that is not public; RELAY_WEBHOOK_PRIVATE_NETWORKS allows them")


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _key(secret: str, place: str, variables: Mapping[str, str]) -> bytes:
    if _VARIABLE.fullmatch(secret):
        if secret not in variables:
            _refuse(place, f"{secret} is not set, and no file of secrets has this name")
        secret = variables[secret]
    elif not secret.startswith(SECRET_PREFIX):
        _refuse(place, f"must be {SECRET_PREFIX} and base64, or the name of a {VARIABLE_PREFIX} variable")
    try:
        return secret_key(secret)
    except BadSecret as error:
        _refuse(place, str(error))


def _refuse(place: str, why: str) -> NoReturn:
    raise BadEndpoints(f"{place}: {why}")

"""Redis URLs: one server, a primary found by sentinels, or a cluster, all in one setting."""

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

SCHEMES: Final = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
_DEFAULT_PORTS = {"sentinel": 26379, "cluster": 6379}
_LARGEST_PORT = 65535

PROVIDER: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
"""The name of a credential provider: ``module:function``."""
_TEXT = re.compile(r".+")
_SWITCH = re.compile(r"(?i)true|false|yes|no|on|off|1|0")
_OPTIONS: Final = {
    "db": re.compile(r"\d+"),
    "socket_keepalive": _SWITCH,
    "username_file": _TEXT,
    "password_file": _TEXT,
    "url_file": _TEXT,
    "credential_provider": PROVIDER,
    "node_addresses": _TEXT,
    "ssl_ca_certs": _TEXT,
    "ssl_ca_path": _TEXT,
    "ssl_certfile": _TEXT,
    "ssl_keyfile": _TEXT,
    "ssl_password": _TEXT,
    "ssl_ciphers": _TEXT,
    "ssl_check_hostname": _SWITCH,
    "ssl_cert_reqs": re.compile(r"none|optional|required"),
    "sentinel_username": _TEXT,
    "sentinel_password": _TEXT,
}
"""The options that may follow after ``?``, and the values of each."""


class Address(NamedTuple):
    """The address of a server."""

    host: str
    port: int

    def __str__(self) -> str:
        """The form in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class RedisUrl(NamedTuple):
    """The parts of a Redis URL."""

    topology: Literal["node", "sentinel", "cluster"]
    plain: str
    """The same credentials, database, options and TLS as the URL of one server: the first address."""
    addresses: tuple[Address, ...] = ()
    """The sentinels, or nodes of the cluster; empty for one server."""
    master: str = ""
    """The name of the primary at the sentinels."""

    @classmethod
    def parse(cls, url: str) -> "RedisUrl":
        """Read a URL.

        Args:
            url: ``redis://[user:password@]host:port/db`` or ``unix://...``,
                ``redis+sentinel://[user:password@]host:port,.../<master name>[/db]`` or
                ``redis+cluster://[user:password@]host:port,...``; ``rediss`` for TLS. Options follow
                after ``?``; ``sentinel_username`` and ``sentinel_password`` are for the sentinels.

        Raises:
            ValueError: It is malformed. The text has the fault, without the URL and so without its password.
        """
        parts = _split(url)
        if parts.scheme not in SCHEMES:
            raise ValueError(f"it must begin with {', '.join(f'{known}://' for known in SCHEMES)}")
        _check_options(parts)
        scheme, _, topology = parts.scheme.partition("+")
        if not topology:
            _check_port(parts)
            if scheme != "unix":
                _check_database(parts.path.strip("/"))
            return cls("node", url)
        credentials, at, hosts = parts.netloc.rpartition("@")
        addresses = tuple(address_of(host, _DEFAULT_PORTS[topology]) for host in hosts.split(","))
        path = parts.path.strip("/")
        master, database = "", "0"
        if topology == "sentinel":
            master, _, database = path.partition("/")
            if not master:
                raise ValueError(f"{parts.scheme}:// needs /<master name> after the addresses")
            _check_database(database)
        elif path not in ("", "0"):
            raise ValueError("a cluster has no databases but 0: nothing may follow the addresses")
        query = f"?{parts.query}" if parts.query else ""
        plain = f"{scheme}://{credentials}{at}{addresses[0]}/{database or 0}{query}"
        return cls("sentinel" if master else "cluster", plain, addresses, master)

    @property
    def where(self) -> str:
        """The addresses, without credentials, for messages."""
        if self.addresses:
            return ",".join(map(str, self.addresses))
        parts = urlsplit(self.plain)
        host = parts.hostname or parts.path
        return f"[{host}]" if ":" in host else host


class Credentials(NamedTuple):
    """User and password at Redis, in clear."""

    username: str = ""
    password: str = ""


def credentials_of(url: str) -> Credentials | None:
    """The credentials of a URL; None without any."""
    parts = _split(url)
    if "@" not in parts.netloc:
        return None
    return Credentials(unquote(parts.username or ""), unquote(parts.password or ""))


def has_credentials(url: str) -> bool:
    """Whether a URL has credentials."""
    return credentials_of(url) is not None


def complete(url: str, credentials: Credentials, **options: str) -> str:
    """A URL with the credentials and options of other settings. Empty ones are left out."""
    parts = _split(url)
    if any(credentials):
        username, password = (quote(part, safe="") for part in credentials)
        parts = parts._replace(netloc=f"{username}:{password}@{parts.netloc.rpartition('@')[2]}")
    query = urlencode({name: value for name, value in options.items() if value})
    parts = parts._replace(query="&".join(filter(None, (parts.query, query))))
    return urlunsplit(parts) if any(credentials) or query else url


def with_database(url: str, offset: int) -> str:
    """The URL of another database of the same server: its number is greater by ``offset``."""
    parts = _split(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    if parts.scheme == "unix" or "db" in dict(options):
        number = int(dict(options).get("db", "0")) + offset
        query = urlencode({**dict(options), "db": str(number)})
        return f"{url.partition('?')[0]}?{query}"
    master, _, database = parts.path.strip("/").rpartition("/")
    if parts.scheme.endswith("+sentinel") and not master:
        master, database = database, ""
    number = int(database or "0") + offset
    return urlunsplit(parts._replace(path=f"/{master}/{number}" if master else f"/{number}"))


def node_addresses(text: str) -> dict[Address, Address]:
    """Read ``announced=reachable,...``; each side ``host:port``, or both ``host`` for every port (here 0).

    Raises:
        ValueError: It is malformed.
    """
    mapping = {}
    for pair in filter(None, re.split(r"[\s,]+", text.strip())):
        announced, equals, reachable = pair.partition("=")
        if not equals:
            raise ValueError("pairs are announced=reachable, with commas between them")
        sides = address_of(announced, 0), address_of(reachable, 0)
        if bool(sides[0].port) != bool(sides[1].port):
            raise ValueError("either both sides of a pair have a port, or neither has")
        mapping[sides[0]] = sides[1]
    return mapping


def reachable(address: Address, mapping: Mapping[Address, Address]) -> Address:
    """The address at which a server that announces this one can be reached."""
    if address in mapping:
        return mapping[address]
    host = mapping.get(Address(address.host, 0))
    return Address(host.host, address.port) if host else address


def address_of(text: str, default_port: int) -> Address:
    """Read ``host:port``, ``host`` or ``[IPv6]:port``.

    Raises:
        ValueError: It is malformed.
    """
    parts = _split(f"//{text}")
    _check_port(parts)
    if not parts.hostname or parts.netloc != text or "@" in text:
        raise ValueError("addresses are host:port, with commas between them")
    return Address(parts.hostname, parts.port or default_port)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its text has parts of the URL
        raise ValueError("a host is malformed: IPv6 addresses stand in [brackets]") from None


def _check_port(parts: SplitResult) -> None:
    try:
        valid = parts.port is None or 0 < parts.port <= _LARGEST_PORT
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"the port is a number from 1 to {_LARGEST_PORT}")


def _check_database(database: str) -> None:
    if database and not (database.isascii() and database.isdecimal()):
        raise ValueError("the database is a number")


def _check_options(parts: SplitResult) -> None:
    options = parse_qsl(parts.query, keep_blank_values=True)
    for name, value in options:
        if name not in _OPTIONS:
            shown = name if name.isidentifier() and name.isascii() else "the text there"
            raise ValueError(f"{shown} is not an option; there are {', '.join(_OPTIONS)}")
        if not _OPTIONS[name].fullmatch(value):
            raise ValueError(f"the option {name} has an invalid value")
        if name.startswith("ssl_") and not parts.scheme.startswith("rediss"):
            raise ValueError(f"the option {name} needs a URL that begins with rediss")
        if name.startswith("sentinel_") and not parts.scheme.endswith("+sentinel"):
            raise ValueError(f"the option {name} needs a URL of sentinels")
        if name == "node_addresses":
            node_addresses(value)
    if len(options) > len(dict(options)):
        raise ValueError("an option is given twice")

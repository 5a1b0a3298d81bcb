"""Redis URLs: one server, a primary found by sentinels, or a cluster, all in one setting."""

from typing import Final, Literal, NamedTuple
from urllib.parse import SplitResult, quote, urlencode, urlsplit, urlunsplit

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


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


class RedisUrl(NamedTuple):
    """What a Redis URL says."""

    topology: Literal["node", "sentinel", "cluster"]
    plain: str
    """The same credentials, database, options and TLS as the URL of one server: the first address."""
    addresses: tuple[Address, ...] = ()
    """The sentinels, or nodes of the cluster; empty for one server."""
    master: str = ""
    """The name the sentinels know the primary by."""

    @classmethod
    def parse(cls, url: str) -> "RedisUrl":
        """Read a URL.

        Args:
            url: ``redis://[user:password@]host:port/db`` or ``unix://...``,
                ``redis+sentinel://[user:password@]host:port,.../<master name>[/db]`` or
                ``redis+cluster://[user:password@]host:port,...``; ``rediss`` for TLS. Options follow
                after ``?``; ``sentinel_username`` and ``sentinel_password`` are for the sentinels.

        Raises:
            ValueError: It is malformed. The text says how, without the URL and so without its password.
        """
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError(f"a URL that begins with {', '.join(f'{known}://' for known in SCHEMES)}")
        scheme, _, topology = parts.scheme.partition("+")
        if not topology:
            _check_port(parts)
            return cls("node", url)
        credentials, at, hosts = parts.netloc.rpartition("@")
        addresses = tuple(_address(host, _DEFAULT_PORTS[topology]) for host in hosts.split(","))
        path = parts.path.strip("/")
        master, database = "", "0"
        if topology == "sentinel":
            master, _, database = path.partition("/")
            if not master:
                raise ValueError(f"{parts.scheme}:// needs /<master name> after the addresses")
        elif path not in ("", "0"):
            raise ValueError("a cluster has no databases but 0: nothing may follow the addresses")
        if database and not database.isdecimal():
            raise ValueError("the database is a number")
        query = f"?{parts.query}" if parts.query else ""
        host, port = addresses[0]
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        plain = f"{scheme}://{credentials}{at}{where}/{database or 0}{query}"
        return cls("sentinel" if master else "cluster", plain, addresses, master)

    @property
    def where(self) -> str:
        """The addresses, without credentials, for people."""
        if self.addresses:
            return ",".join(f"{host}:{port}" for host, port in self.addresses)
        parts = urlsplit(self.plain)
        return parts.hostname or parts.path


def has_credentials(url: str) -> bool:
    """Whether a URL says who we are."""
    return "@" in urlsplit(url).netloc


def complete(url: str, *, username: str, password: str, ca_file: str) -> str:
    """A URL with what other settings say: who we are, and which authorities to trust. Empty: as it is."""
    if not (username or password or ca_file):
        return url
    parts = urlsplit(url)
    if username or password:
        credentials = f"{quote(username, safe='')}:{quote(password, safe='')}"
        parts = parts._replace(netloc=f"{credentials}@{parts.netloc}")
    if ca_file:
        option = urlencode({"ssl_ca_certs": ca_file})
        parts = parts._replace(query=f"{parts.query}&{option}" if parts.query else option)
    return urlunsplit(parts)


def _check_port(parts: SplitResult) -> None:
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("the port is a number from 1 to 65535") from None


def _address(text: str, default_port: int) -> Address:
    parts = urlsplit(f"//{text}")
    _check_port(parts)
    if not parts.hostname:
        raise ValueError("addresses are host:port, with commas between them")
    return Address(parts.hostname, parts.port or default_port)

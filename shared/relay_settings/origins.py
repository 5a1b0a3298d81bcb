"""Origins of pages, as operators list them and browsers send them (RFC 6454). Pure."""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address

ANY = "*"
"""Every origin, as an entry of a list."""
NULL = "null"
"""What browsers send for pages from disk, and for sandboxed frames of any site."""

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\\%*]*)(?::(?P<port>\d{1,5}|\*))?",
    re.IGNORECASE,
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_SOCKET = re.compile(r"^ws(?=s?://)", re.IGNORECASE)
"""The scheme of a socket: some clients send the address they connect to as their origin."""
_SOCKETS = {"ws": "http", "wss": "https"}


class OriginError(ValueError):
    """Raised when a text is not an origin. The error's text quotes it and has the expected form."""


def normalised(entry: str) -> str:
    """An entry of a list of origins, in the form that browsers send.

    Schemes and hosts in lower case, hosts as ASCII, no default port, no trailing slash. ``*`` alone is every
    origin, ``:*`` every port of a host. Pages from disk, ``file://``, are ``null`` as browsers have it.

    Raises:
        OriginError: The entry is not an origin.
    """
    text = entry.strip()
    if text.lower() in {ANY, NULL}:
        return text.lower()
    found = _ORIGIN.fullmatch(text.removesuffix("/") if not text.endswith("://") else text)
    if found is None:
        raise OriginError(_why(text))
    scheme, port = found["scheme"].lower(), found["port"] or ""
    if scheme in _SOCKETS:
        raise OriginError(
            f"{text!r} is a socket's address; a page's origin begins with {_SOCKETS[scheme]}://"
        )
    if scheme == "file":
        return NULL
    host = _host(text, found["host"])
    if not host and (scheme in _DEFAULT_PORTS or port):
        raise OriginError(f"{text!r} names no host")
    if port.isdigit() and not 0 < int(port) < 65536:
        raise OriginError(f"{text!r} has an invalid port")
    port = str(int(port)) if port.isdigit() else port
    return f"{scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS.get(scheme) else "")


class Origins:
    """A list of origins.

    Args:
        entries: As ``normalised`` gives them.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = frozenset(entries)

    def allow(self, origin: str, hosts: Iterable[str] = ()) -> bool:
        """Whether pages of this origin may connect.

        Args:
            origin: The request's ``Origin``.
            hosts: The hosts in the request's headers; a page of the same host and port may connect, too. The
                scheme may differ: TLS may end at a proxy.
        """
        if ANY in self._entries:
            return True
        try:
            asking = normalised(_SOCKET.sub("http", origin))
        except OriginError:
            return False
        return (
            asking in self._entries
            or _every_port(asking) in self._entries
            or any(_is_same(asking, host) for host in hosts)
        )


def _is_same(origin: str, host: str) -> bool:
    scheme, _, own = origin.partition("://")
    if scheme not in _DEFAULT_PORTS:
        return False
    try:
        return own in {normalised(f"{known}://{host}").partition("://")[2] for known in _DEFAULT_PORTS}
    except OriginError:
        return False


def _every_port(origin: str) -> str:
    found = _ORIGIN.fullmatch(origin)
    return f"{found['scheme']}://{found['host']}:*" if found else ""


def _host(text: str, host: str) -> str:
    if host.startswith("["):
        try:
            return f"[{IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            raise OriginError(f"{text!r} has an invalid address") from None
    if host.isascii():
        return host.lower()
    try:
        plain = host.encode("idna")
        if plain.decode("idna") == host.lower():
            return plain.decode().lower()
    except UnicodeError:
        pass
    raise OriginError(f"{text!r}: write the host as browsers send it, xn--...")


def _why(text: str) -> str:
    if "://" not in text:
        return f"{text!r} has no scheme: write an origin as https://app.example"
    rest = text.partition("://")[2]
    if "@" in rest:
        return f"{text!r} has a user: an origin is a scheme, a host and a port"
    if any(mark in rest for mark in "/?#"):
        return f"{text!r} has a path: an origin is a scheme, a host and a port"
    if "*" in rest:
        return f"{text!r}: a * stands alone, for every origin, or for the port; list each host"
    return f"{text!r} is not an origin such as https://app.example or capacitor://localhost"

"""Targets: the admin ports to read, as the command line, a file and the DNS name them."""

import asyncio
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from yarl import URL


class TargetError(Exception):
    """Raised when a target cannot be read; the text names it."""


class Target(NamedTuple):
    """One admin port."""

    name: str
    """Shown: host and port."""
    url: URL
    host: str = ""
    """The name its certificate is for, when the URL has an address instead."""


class Unresolved(NamedTuple):
    """A file or a name that yields no targets now."""

    name: str
    why: str


def target(text: str) -> Target:
    """Read ``[http[s]://]host:port``; a path, as that of ``/metrics``, is left out.

    Raises:
        TargetError: The text has no host or no port.
    """
    try:
        url = URL(text if "://" in text else f"http://{text}")
        port = url.explicit_port
    except ValueError as error:
        raise TargetError(f"target {text!r}: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or port is None:
        raise TargetError(f"target {text!r} is not [http[s]://]host:port of an admin address")
    origin = url.origin()
    return Target(_name(origin), origin)


def targets(texts: Iterable[str]) -> list[Target]:
    """Targets of an option or of a variable, which separates them with commas or white space.

    Raises:
        TargetError: As ``target`` does.
    """
    return [target(part) for text in texts for part in text.replace(",", " ").split()]


def listed(text: str, name: str) -> list[Target]:
    """Targets of a file in Prometheus's ``file_sd`` format, as JSON: a list of objects with ``targets``.

    Raises:
        TargetError: It has another format.
    """
    try:
        groups = json.loads(text)
        return targets(part for group in groups for part in group["targets"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise TargetError(f'{name} is not a list like [{{"targets": ["host:port"]}}] in JSON') from None


@dataclass(frozen=True)
class Sources:
    """Where targets come from; files and names are read anew in each round."""

    fixed: tuple[Target, ...] = ()
    files: tuple[Path, ...] = ()
    names: tuple[Target, ...] = ()
    """Each address of such a host is a target of its own."""

    def __bool__(self) -> bool:
        return bool(self.fixed or self.files or self.names)

    async def targets(self) -> list[Target | Unresolved]:
        """Every target of this round, each once."""
        found: list[Target | Unresolved] = [*self.fixed]
        for path in self.files:
            found += _of_file(path)
        for each in await asyncio.gather(*map(_resolved, self.names)):
            found += each
        return list({each.name: each for each in found}.values())


def _name(url: URL) -> str:
    return str(url).partition("://")[2]


def _of_file(path: Path) -> list[Target | Unresolved]:
    try:
        return [*listed(path.read_text(), str(path))]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return [Unresolved(str(path), f"the file cannot be read: {why}")]
    except TargetError as error:
        return [Unresolved(str(path), str(error))]


async def _resolved(name: Target) -> list[Target | Unresolved]:
    url = name.url
    host, port = url.host or "", url.port
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return [Unresolved(name.name, f"the name does not resolve: {error.strerror}")]
    addresses = sorted({str(address[0]) for *_, address in found})
    urls = [url.with_host(address) for address in addresses]
    return [Target(_name(each), each, host) for each in urls]

"""Addresses: whom a limit counts as one."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Literal, NamedTuple, get_args

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""Where translators put all IPv4 addresses (RFC 6052): as IPv6 they would be one customer."""
_IPV6_PREFIX = 64
"""One customer has as many IPv6 addresses as it likes, all in one such network."""


_WITH_PORT = re.compile(r"\[(?P<six>[^\]]*)\](?::\d{1,5})?|(?P<four>[\d.]+):\d{1,5}")
"""As some balancers write it. IPv6 without brackets has no port: it could not be told from the address."""


Forwarding = Literal["none", "used", "ignored", "absent", "unreadable"]
"""What became of ``X-Forwarded-For``: there was none and need not be; it names the client; it counts for
nothing; it has fewer entries than there are proxies; or a proxy of ours wrote what is no address."""
FORWARDINGS: tuple[Forwarding, ...] = get_args(Forwarding)


class Forwarded(NamedTuple):
    """Whom a request comes from."""

    address: str
    """An IPv4 address, an IPv6 network, or the peer as it is when there is nothing to be trusted."""
    forwarding: Forwarding


def address_of(peer: str, forwarded: Sequence[str], proxies: int) -> Forwarded:
    """The address a request comes from.

    Args:
        peer: Who connected.
        forwarded: The lines of ``X-Forwarded-For``. Each proxy appends whom it was asked by, so only the
            last entries are true, one for each proxy of ours; what stands before anybody can have written.
        proxies: How many of ours there are.
    """
    own = _counted(peer) or peer
    if not proxies:
        return Forwarded(own, "ignored" if forwarded else "none")
    entries = [entry.strip() for line in forwarded for entry in line.split(",")]
    if len(entries) < proxies:
        return Forwarded(own, "absent")
    told = _counted(entries[-proxies])
    return Forwarded(told, "used") if told else Forwarded(own, "unreadable")


def _counted(text: str) -> str:
    text = text.strip('"')
    found = _WITH_PORT.fullmatch(text)
    bare = (found["six"] or found["four"] or "") if found else text
    try:
        address: IPv4Address | IPv6Address = ip_address(bare)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        inner = IPv4Address(address.packed[-4:]) if address in _TRANSLATED else address.ipv4_mapped
        if inner is None:
            return str(IPv6Network((address.packed, _IPV6_PREFIX), strict=False))
        address = inner
    return str(address)

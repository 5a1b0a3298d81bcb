"""Client addresses: the address to which the limits of a request apply. Pure."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Literal, NamedTuple, get_args

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""The network of translated IPv4 addresses (RFC 6052): as IPv6 they would all be one customer."""
_IPV6_PREFIX = 64
"""The network of one customer, which can use all its addresses."""


_WITH_PORT = re.compile(r"\[(?P<six>[^\]]*)\](?::\d{1,5})?|(?P<four>[\d.]+):\d{1,5}")
"""An address with a port, as some balancers write it. Without brackets a port of IPv6 is ambiguous."""


Forwarding = Literal["none", "used", "ignored", "absent", "unreadable"]
"""The use of ``X-Forwarded-For``: none came and none was expected; it names the client; it is ignored, since
no proxy is trusted; it has fewer entries than there are proxies; or the entry is no address."""
FORWARDINGS: tuple[Forwarding, ...] = get_args(Forwarding)


class Forwarded(NamedTuple):
    """The source of a request."""

    address: str
    """An IPv4 address, an IPv6 network, or the peer unchanged when it is no IP address."""
    forwarding: Forwarding


def address_of(peer: str, forwarded: Sequence[str], proxies: int) -> Forwarded:
    """The address a request comes from.

    Args:
        peer: The address of the connection.
        forwarded: The lines of ``X-Forwarded-For``. Each proxy appends the address of its client, so only the
            last entries are reliable, one for each trusted proxy; a client can forge those before.
        proxies: The number of trusted proxies.
    """
    own = _limited_address(peer) or peer
    if not proxies:
        return Forwarded(own, "ignored" if forwarded else "none")
    entries = [entry.strip() for line in forwarded for entry in line.split(",")]
    if len(entries) < proxies:
        return Forwarded(own, "absent")
    client = _limited_address(entries[-proxies])
    return Forwarded(client, "used") if client else Forwarded(own, "unreadable")


def _limited_address(text: str) -> str:
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

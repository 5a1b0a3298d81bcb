"""Addresses: whom a limit counts as one."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_IPV6_PREFIX = 64
"""One customer has as many IPv6 addresses as it likes, all in one such network."""


def address_of(peer: str, forwarded: Sequence[str], proxies: int) -> str:
    """The address a request comes from.

    Args:
        peer: Who connected.
        forwarded: The lines of ``X-Forwarded-For``. Each proxy appends whom it was asked by, so only the
            last entries are true, one for each proxy of ours; what stands before anybody can have written.
        proxies: How many of ours there are.

    Returns:
        An IPv4 address, an IPv6 network, or ``peer`` as it is when there is nothing to be trusted.
    """
    entries = [entry.strip() for line in forwarded for entry in line.split(",")]
    told = entries[-proxies] if 0 < proxies <= len(entries) else peer
    return _counted(told) or _counted(peer) or peer


def _counted(text: str) -> str:
    try:
        address: IPv4Address | IPv6Address = ip_address(text.strip("[]"))
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(IPv6Network((address.packed, _IPV6_PREFIX), strict=False))
        address = address.ipv4_mapped
    return str(address)

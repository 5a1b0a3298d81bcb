"""Addresses: which hosts and which network addresses requests may go to. Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""Addresses of IPv4 hosts behind a translator (RFC 6052)."""


class AllowedHosts:
    """The hosts that requests may be sent to.

    Args:
        patterns: Hosts in lower case; ``*.example.com`` is every host below ``example.com``.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        entries = tuple(patterns)
        self._names = frozenset(entry for entry in entries if not entry.startswith("*."))
        self._suffixes = tuple(entry[1:] for entry in entries if entry.startswith("*."))

    def allow(self, host: str) -> bool:
        """Whether requests may be sent to this host."""
        name = host.lower().removesuffix(".")
        return name in self._names or name.endswith(self._suffixes)


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet.

    An IPv6 address that stands for an IPv4 address is public only if that is: mapped, or behind NAT64. The
    addresses of 6to4 and Teredo, which are out of use, are not.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return _is_global(_meant(parsed))


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved)

"""Addresses: who counts as one, and who can be believed."""

import pytest

from relay_gateway.address import address_of


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        ("192.0.2.1", [], 0, "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.1"], 0, "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.1"], 1, "203.0.113.1"),
        ("192.0.2.1", ["invented, 203.0.113.1"], 1, "203.0.113.1"),
        ("192.0.2.1", ["invented, 203.0.113.1, 10.0.0.1"], 2, "203.0.113.1"),
        ("192.0.2.1", ["invented, 203.0.113.1", "10.0.0.1"], 2, "203.0.113.1"),
        ("192.0.2.1", ["203.0.113.1"], 2, "192.0.2.1"),  # it came past a proxy
        ("192.0.2.1", ["unknown"], 1, "192.0.2.1"),
        ("192.0.2.1", [""], 1, "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", [], 0, "2001:db8:1:2::/64"),
        ("192.0.2.1", ["[2001:db8:1:2:9::1]"], 1, "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", [], 0, "192.0.2.1"),
        ("", [], 0, ""),
    ],
)
def test_addresses(peer: str, forwarded: list[str], proxies: int, address: str) -> None:
    """Only our proxies' entries count, and an IPv6 network is one."""
    assert address_of(peer, forwarded, proxies) == address

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
        ("192.0.2.1", ["203.0.113.7:51234"], 1, "203.0.113.7"),
        ("192.0.2.1", ['"203.0.113.7"'], 1, "203.0.113.7"),
        ("192.0.2.1", ["64:ff9b::203.0.113.7"], 1, "203.0.113.7"),
        ("64:ff9b::203.0.113.7", [], 0, "203.0.113.7"),
        ("192.0.2.1", ["invented:1, 203.0.113.7:51234 "], 1, "203.0.113.7"),
        ("192.0.2.1", ["[2001:db8:1:2::1]:443"], 1, "2001:db8:1:2::/64"),
        ("192.0.2.1", ['"[2001:db8:1:2::1]:443"'], 1, "2001:db8:1:2::/64"),
        ("192.0.2.1", ["2001:db8:1:2::1"], 1, "2001:db8:1:2::/64"),
        ("192.0.2.1", ["[::ffff:203.0.113.7]:80"], 1, "203.0.113.7"),
        ("192.0.2.1", ["fe80::1%eth0"], 1, "fe80::/64"),
        ("::ffff:192.0.2.1", [], 0, "192.0.2.1"),
        ("", [], 0, ""),
    ],
)
def test_addresses(peer: str, forwarded: list[str], proxies: int, address: str) -> None:
    """Only our proxies' entries count, and an IPv6 network is one."""
    assert address_of(peer, forwarded, proxies).address == address


@pytest.mark.parametrize(
    "entry",
    ["unknown", "_hidden", "", "203.0.113.7:", "203.0.113.7:port", "[2001:db8::1", "1.2.3.4.5:6", "::1:x"],
)
def test_entries_that_are_no_address(entry: str) -> None:
    """The limits apply to the proxy then, and the result names the reason."""
    assert address_of("192.0.2.1", [f"203.0.113.1, {entry}"], 1) == ("192.0.2.1", "unreadable")


@pytest.mark.parametrize(
    ("forwarded", "proxies", "forwarding"),
    [
        ([], 0, "none"),
        (["garbage"], 0, "ignored"),
        ([], 1, "absent"),
        (["203.0.113.1"], 2, "absent"),
        (["garbage, 203.0.113.1"], 1, "used"),
    ],
)
def test_the_use_of_the_header(forwarded: list[str], proxies: int, forwarding: str) -> None:
    """Only entries of trusted proxies are used."""
    assert address_of("192.0.2.1", forwarded, proxies).forwarding == forwarding

"""Addresses: hosts that are named, and addresses of the public internet."""

import pytest

from relay_jobs.webhooks.addresses import AllowedHosts, is_public


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("hooks.example.com", True), ("HOOKS.example.COM", True), ("hooks.example.com.", True),
        ("a.partner.org", True), ("a.b.partner.org", True), ("203.0.114.9", True),
        ("partner.org", False), ("evilpartner.org", False), ("example.com", False), ("", False),
        ("hooks.example.com.evil.net", False), ("x.hooks.example.com", False), ("*.partner.org.evil", False),
    ],
)  # fmt: skip
def test_only_named_hosts(host: str, allowed: bool) -> None:  # noqa: FBT001  # pytest's parameter
    """A wildcard is every host below its name: never the name itself, nor a host that ends like it."""
    assert AllowedHosts(["hooks.example.com", "*.partner.org", "203.0.114.9"]).allow(host) is allowed


def test_no_host_is_named() -> None:
    """Then none is allowed."""
    assert not AllowedHosts([]).allow("example.com")


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public(address: str) -> None:
    """Addresses of the internet, also as IPv6 addresses that stand for them."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "2002:7f00:1::", "2002:808:808::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:0:7f00:1::", "",
        "localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1",
    ],
)  # fmt: skip
def test_not_public(address: str) -> None:
    """Loopback, private, link-local, shared, documentation, multicast and reserved ones; what is no address;
    and IPv6 addresses behind which there is such an IPv4 address.
    """
    assert not is_public(address)

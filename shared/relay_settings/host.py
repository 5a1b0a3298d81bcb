"""Hosts: addresses and names to listen at, and their form in a URL."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?")


def _checked(text: str) -> str:
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if _address(host) is None and not (host == text and _NAME.fullmatch(host)):
        raise ValueError("it must be an address or a name, without a port: the port is another setting")
    return host


Host = Annotated[str, AfterValidator(_checked)]
"""An IPv4 or IPv6 address, with or without brackets, or a name. Kept without brackets."""


def is_wildcard(host: str) -> bool:
    """Whether the host stands for every address of the machine."""
    address = _address(host)
    return address is not None and address.is_unspecified


def is_ipv6(host: str) -> bool:
    """Whether the host is an IPv6 address."""
    return isinstance(_address(host), ipaddress.IPv6Address)


def is_host_pattern(text: str) -> bool:
    """Whether the text is an address, a name, or ``*.`` and a name."""
    host = text.removeprefix("*.")
    return _NAME.fullmatch(host) is not None or (host == text and _address(host) is not None)


def in_url(host: str) -> str:
    """The host's form in a URL: an IPv6 address in brackets, the loopback address for a wildcard."""
    if is_wildcard(host):
        host = "::1" if is_ipv6(host) else "127.0.0.1"
    return f"[{host.replace('%', '%25')}]" if ":" in host else host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None

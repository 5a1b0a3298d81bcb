"""Origins: what operators may list, and whose pages may come then."""

import pytest

from relay_settings.base import SettingsError
from relay_settings.limits import LimitSettings
from relay_settings.origins import OriginError, Origins, normalised


@pytest.mark.parametrize(
    ("entry", "origin"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.EXAMPLE/", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80/", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://localhost:*", "http://localhost:*"),
        ("http://[2001:DB8:0::1]:3000", "http://[2001:db8::1]:3000"),
        ("https://müller.example", "https://xn--mller-kva.example"),
        ("https://xn--mller-kva.example", "https://xn--mller-kva.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("Ionic://localhost", "ionic://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("app://", "app://"),
        ("app://.", "app://."),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("file://", "null"),
        ("null", "null"),
        ("*", "*"),
    ],
)
def test_entries_are_what_browsers_send(entry: str, origin: str) -> None:
    """However they are written; and again the same."""
    assert normalised(entry) == origin
    assert normalised(origin) == origin


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("app.example", "no scheme"),
        ("localhost:3000", "no scheme"),
        ("*.app.example", "no scheme"),
        ("https://app.example/chat", "path"),
        ("https://app.example?x", "path"),
        ("file:///home", "path"),
        ("https://*.app.example", "stands alone"),
        ("https://app.example:80*", "stands alone"),
        ("https://u:p@app.example", "user"),
        ("https://", "no host"),
        ("https://:443", "no host"),
        ("https://app.example:99999", "port"),
        ("wss://gateway.example", "begins with https"),
        ("https://app .example", "not an origin"),
        ("https://straße.example", "xn--"),
        ("https://[1::2::3]", "address"),
    ],
)
def test_what_is_none_is_refused_at_the_start(entry: str, why: str) -> None:
    """The setting and the entry are named, and what is wrong with it."""
    with pytest.raises(OriginError, match=why):
        normalised(entry)
    with pytest.raises(SettingsError, match="RELAY_ORIGINS") as refusal:
        LimitSettings.load(origins=f"https://good.example, {entry}")
    assert entry in str(refusal.value)
    assert "good" not in str(refusal.value)


@pytest.mark.parametrize(
    ("entries", "origin", "allowed"),
    [
        ("https://app.example", "https://app.example", True),
        ("https://app.example", "https://APP.example:443", True),
        ("https://app.example", "http://app.example", False),
        ("https://app.example", "https://app.example.evil.example", False),
        ("https://app.example", "https://evil.example/app.example", False),
        ("https://app.example", "https://app.example@evil.example", False),
        ("https://app.example", "", False),
        ("https://app.example", "null", False),
        ("", "null", False),
        ("", "*", False),
        ("file://", "null", True),
        ("file://", "file://", True),
        ("http://localhost:*", "http://localhost:5173", True),
        ("http://localhost:*", "http://localhost", True),
        ("http://localhost:*", "http://localhost.evil.example:80", False),
        ("http://localhost:*", "https://localhost:5173", False),
        ("*", "anything at all", True),
    ],
)
def test_pages_that_are_listed(entries: str, origin: str, *, allowed: bool) -> None:
    """Nothing else is near enough."""
    assert Origins(LimitSettings.load(origins=entries).origins).allow(origin) is allowed


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://gateway.example", "gateway.example", True),
        ("http://gateway.example", "gateway.example", True),
        ("https://gateway.example", "Gateway.Example:443", True),
        ("wss://gateway.example", "gateway.example", True),
        ("https://gateway.example:8443", "gateway.example:8443", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("https://gateway.example:8443", "gateway.example", False),
        ("http://localhost:3000", "localhost:8080", False),
        ("https://evil.example", "gateway.example", False),
        ("capacitor://gateway.example", "gateway.example", False),
        ("null", "null", False),
        ("https://", "", False),
        ("file://", "", False),
    ],
)
def test_pages_of_the_gateways_own_host(origin: str, host: str, *, allowed: bool) -> None:
    """React Native sends the server's own origin, whatever TLS ends where."""
    assert Origins(()).allow(origin, [host]) is allowed

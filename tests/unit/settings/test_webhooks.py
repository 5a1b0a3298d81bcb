"""Settings of webhooks: hosts are named, and times fit together."""

import pytest

from relay_settings.base import SettingsError
from relay_settings.webhooks import WebhookSettings


def test_hosts() -> None:
    """Commas and white space separate them; capitals are the same host."""
    settings = WebhookSettings.load(webhook_hosts="Hooks.Example.com, *.partner.org ::1 10.0.0.1")
    assert settings.webhook_hosts == ("hooks.example.com", "*.partner.org", "::1", "10.0.0.1")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"webhook_hosts": "https://example.com"}, "RELAY_WEBHOOK_HOSTS is refused"),
        ({"webhook_hosts": "example.com/path"}, "RELAY_WEBHOOK_HOSTS is refused"),
        ({"webhook_hosts": "*"}, "RELAY_WEBHOOK_HOSTS is refused"),
        ({"webhook_hosts": "*.*.com"}, "RELAY_WEBHOOK_HOSTS is refused"),
        ({"webhook_hosts": "*.::1"}, "RELAY_WEBHOOK_HOSTS is refused"),
        ({"webhooks_file": "hooks.json"}, "RELAY_WEBHOOKS_FILE needs RELAY_WEBHOOK_HOSTS"),
        ({"webhook_claim_s": 10, "webhook_timeout_s": 10}, "RELAY_WEBHOOK_CLAIM_S must be longer"),
    ],
)
def test_what_is_refused(values: dict[str, object], why: str) -> None:
    """Hosts are names or addresses alone; a file needs hosts; a claim outlasts its attempt."""
    with pytest.raises(SettingsError, match=why):
        WebhookSettings.load(**values)

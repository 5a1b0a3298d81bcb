"""Redis URLs: every topology in one setting, and what is malformed is named without its password."""

import pytest

from relay_settings.base import SettingsError
from relay_settings.redis_url import Address, RedisUrl, complete
from relay_settings.store import StoreSettings
from relay_streams.connection import settings_of


@pytest.mark.parametrize(
    "url",
    ["redis://h", "redis://u:p@h:1/2?x=1", "rediss://h:1", "unix:///run/redis.sock?db=1", "redis://[::1]:7"],
)
def test_one_server_is_left_as_it_is(url: str) -> None:
    """What the client library takes is not touched."""
    assert RedisUrl.parse(url) == RedisUrl("node", url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "redis+sentinel://a:1,b/relay",
            RedisUrl("sentinel", "redis://a:1/0", (Address("a", 1), Address("b", 26379)), "relay"),
        ),
        (
            "rediss+sentinel://u:p%40w@[::1]:1/relay/3?ssl_ca_certs=/ca.pem",
            RedisUrl(
                "sentinel", "rediss://u:p%40w@[::1]:1/3?ssl_ca_certs=/ca.pem", (Address("::1", 1),), "relay"
            ),
        ),
        (
            "redis+cluster://:p@a,b:2",
            RedisUrl("cluster", "redis://:p@a:6379/0", (Address("a", 6379), Address("b", 2))),
        ),
        ("rediss+cluster://a:1/0", RedisUrl("cluster", "rediss://a:1/0", (Address("a", 1),))),
    ],
)
def test_many_servers(url: str, expected: RedisUrl) -> None:
    """Addresses, and everything else as the URL of one of them."""
    assert RedisUrl.parse(url) == expected


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://planted-secret@h", "begins with redis://"),
        ("redis+proxy://h", "begins with redis://"),
        ("redis://u:planted-secret@h:port", "port is a number"),
        ("redis+sentinel://u:planted-secret@a:1", "needs /<master name>"),
        ("redis+sentinel://a:1/relay/none", "database is a number"),
        ("redis+sentinel://u:planted-secret@a:1,/relay", "host:port"),
        ("redis+cluster://a:99999", "port is a number"),
        ("redis+cluster://", "host:port"),
        ("redis+cluster://a:1/3", "no databases"),
    ],
)
def test_malformed(monkeypatch: pytest.MonkeyPatch, url: str, says: str) -> None:
    """Refused at start, by the variable's name, with what is wrong and no secret."""
    monkeypatch.setenv("RELAY_REDIS_URL", url)

    with pytest.raises(SettingsError, match=f"RELAY_REDIS_URL.*{says}") as refused:
        StoreSettings.load()

    assert "planted-secret" not in str(refused.value)


def test_where_it_is_for_people() -> None:
    """Addresses, no credentials."""
    assert RedisUrl.parse("redis+cluster://u:p@a:1,b:2").where == "a:1,b:2"
    assert RedisUrl.parse("redis://u:p@a:1/0").where == "a"
    assert RedisUrl.parse("unix:///run/redis.sock").where == "/run/redis.sock"


@pytest.mark.parametrize(
    ("url", "completed"),
    [
        ("rediss://host:1/2", "rediss://me:a%2Fb%40c@host:1/2?ssl_ca_certs=%2Fca.crt"),
        ("rediss://host?x=1", "rediss://me:a%2Fb%40c@host?x=1&ssl_ca_certs=%2Fca.crt"),
        (
            "rediss+sentinel://a:1,b:2/name",
            "rediss+sentinel://me:a%2Fb%40c@a:1,b:2/name?ssl_ca_certs=%2Fca.crt",
        ),
    ],
)
def test_other_settings_complete_it(url: str, completed: str) -> None:
    """Credentials and authorities that stand elsewhere, in every topology."""
    whole = complete(url, username="me", password="a/b@c", ca_file="/ca.crt")

    assert whole == completed
    assert RedisUrl.parse(whole).addresses == RedisUrl.parse(url).addresses
    assert settings_of(RedisUrl.parse(whole).plain)["password"] == "a/b@c"


def test_nothing_to_complete() -> None:
    """Leaves it as it is."""
    assert complete("unix:///run/redis", username="", password="", ca_file="") == "unix:///run/redis"

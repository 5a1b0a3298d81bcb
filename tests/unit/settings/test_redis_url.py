"""Redis URLs: every topology in one setting, and what is malformed is named without its password."""

import pytest

from relay_redis.connection import settings_of
from relay_settings.base import SettingsError
from relay_settings.redis_url import Address, Credentials, RedisUrl, complete, node_addresses, reachable
from relay_settings.store import StoreSettings


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://u:p@h:1/2?socket_keepalive=true",
        "rediss://h:1?ssl_cert_reqs=none&ssl_check_hostname=no",
        "unix:///run/redis.sock?db=1",
        "redis://[::1]:7",
    ],
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
    ("url", "message"),
    [
        ("http://planted-secret@h", "must begin with redis://"),
        ("redis+proxy://h", "must begin with redis://"),
        ("redis://:planted-secret@h?health_check_interval=x", "health_check_interval is not an option"),
        ("redis://:planted-secret@h?health_check_interval=3", "health_check_interval is not an option"),
        ("redis://:planted-secret@h?protocol=3", "protocol is not an option"),
        ("redis://h?password=planted-secret", "password is not an option"),
        ("redis://h?planted-secret=1", "the text there is not an option"),
        ("redis://h?db=x", "option db has an invalid value"),
        ("redis://h?db=", "option db has an invalid value"),
        ("redis://h?db=1&db=2", "twice"),
        ("redis://h?socket_keepalive=maybe", "socket_keepalive has an invalid value"),
        ("redis://h?ssl_ca_certs=/ca.pem", "needs a URL that begins with rediss"),
        ("rediss://h?ssl_cert_reqs=never", "ssl_cert_reqs has an invalid value"),
        ("redis://h?sentinel_password=planted-secret", "needs a URL of sentinels"),
        ("redis+cluster://a:1?node_addresses=b", "announced=reachable"),
        ("redis+cluster://a:1?node_addresses=b:1=c", "both sides"),
        ("redis+cluster://a:1?credential_provider=planted", "credential_provider has an invalid value"),
        ("redis://:planted-secret@h/abc", "database is a number"),
        ("redis://:planted-secret@h/0/1", "database is a number"),
        ("redis://:planted-secret@h/-1", "database is a number"),
        ("rediss://:planted-secret@h/²", "database is a number"),
        ("redis://u:planted-secret@h:0", "port is a number"),
        ("redis://u:planted-secret@[::1", "host is malformed"),
        ("redis://u:planted-secret℀@h", "host is malformed"),
        ("redis+sentinel://u:planted-secret@::1:5/relay", "port is a number|host:port"),
        ("redis://u:planted-secret@h:port", "port is a number"),
        ("redis+sentinel://u:planted-secret@a:1", "needs /<master name>"),
        ("redis+sentinel://a:1/relay/none", "database is a number"),
        ("redis+sentinel://u:planted-secret@a:1,/relay", "host:port"),
        ("redis+cluster://a:99999", "port is a number"),
        ("redis+cluster://", "host:port"),
        ("redis+cluster://a:1/3", "no databases"),
    ],
)
def test_malformed(monkeypatch: pytest.MonkeyPatch, url: str, message: str) -> None:
    """Refused at start, by the variable's name, with what is wrong and no secret."""
    monkeypatch.setenv("RELAY_REDIS_URL", url)

    with pytest.raises(SettingsError, match=f"RELAY_REDIS_URL.*{message}") as refused:
        StoreSettings.load()

    assert "planted-secret" not in str(refused.value)


def test_where_it_is_for_people() -> None:
    """Addresses, no credentials."""
    assert RedisUrl.parse("redis+cluster://u:p@a:1,b:2").where == "a:1,b:2"
    assert RedisUrl.parse("redis://u:p@a:1/0").where == "a"
    assert RedisUrl.parse("unix:///run/redis.sock").where == "/run/redis.sock"
    assert RedisUrl.parse("redis+cluster://u:p@[::1]:1,b:2").where == "[::1]:1,b:2"
    assert RedisUrl.parse("redis://u:p@[::1]:1").where == "[::1]"


@pytest.mark.parametrize(
    ("url", "completed"),
    [
        ("rediss://host:1/2", "rediss://me:a%2Fb%40c@host:1/2?ssl_ca_certs=%2Fca.crt"),
        ("rediss://host?db=1", "rediss://me:a%2Fb%40c@host?db=1&ssl_ca_certs=%2Fca.crt"),
        (
            "rediss+sentinel://a:1,b:2/name",
            "rediss+sentinel://me:a%2Fb%40c@a:1,b:2/name?ssl_ca_certs=%2Fca.crt",
        ),
    ],
)
def test_other_settings_complete_it(url: str, completed: str) -> None:
    """Credentials and authorities that stand elsewhere, in every topology."""
    whole = complete(url, Credentials("me", "a/b@c"), ssl_ca_certs="/ca.crt", node_addresses="")

    assert whole == completed
    assert RedisUrl.parse(whole).addresses == RedisUrl.parse(url).addresses
    assert settings_of(RedisUrl.parse(whole).plain)["password"] == "a/b@c"


def test_nothing_to_complete() -> None:
    """Leaves it as it is."""
    assert complete("unix:///run/redis", Credentials(), ssl_ca_certs="") == "unix:///run/redis"


@pytest.mark.parametrize(
    ("announced", "expected"),
    [
        (Address("10.0.0.1", 6379), Address("redis.example", 7001)),
        (Address("10.0.0.1", 6380), Address("10.0.0.1", 6380)),
        (Address("10.0.0.2", 6379), Address("fd00::2", 6379)),
        (Address("10.0.0.2", 1), Address("fd00::2", 1)),
        (Address("fd00::3", 5), Address("127.0.0.1", 6)),
        (Address("elsewhere", 5), Address("elsewhere", 5)),
    ],
)
def test_where_nodes_can_be_reached(announced: Address, expected: Address) -> None:
    """By host and port, or by host for every port; others where they say."""
    mapping = node_addresses("10.0.0.1:6379=redis.example:7001, 10.0.0.2=[fd00::2],\n[fd00::3]:5=127.0.0.1:6")

    assert reachable(announced, mapping) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"redis_node_addresses": "a=b"}, "needs a RELAY_REDIS_URL of sentinels or a cluster"),
        ({"redis_node_addresses": "a"}, "RELAY_REDIS_NODE_ADDRESSES.*announced=reachable"),
        ({"redis_credential_provider": "iam"}, "RELAY_REDIS_CREDENTIAL_PROVIDER.*module:name"),
        (
            {"redis_credential_provider": "a:b", "redis_username": "me"},
            "there can be no RELAY_REDIS_USERNAME",
        ),
        (
            {"redis_credential_provider": "a:b", "redis_url": "redis://u:p@h"},
            "RELAY_REDIS_URL has credentials",
        ),
    ],
)
def test_settings_of_redis_that_do_not_go_together(settings: dict[str, str], message: str) -> None:
    """Are refused at the start."""
    with pytest.raises(SettingsError, match=message):
        StoreSettings.load(**settings)


@pytest.mark.parametrize("name", ["no_such_module:f", "json:no_such", "json:__doc__"])
def test_a_provider_that_is_none(name: str) -> None:
    """Is refused before anything connects."""
    url = StoreSettings.load(redis_credential_provider=name).store_url

    with pytest.raises(SettingsError, match="RELAY_REDIS_CREDENTIAL_PROVIDER"):
        settings_of(RedisUrl.parse(url).plain)

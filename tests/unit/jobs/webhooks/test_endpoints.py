"""Endpoints: the file that names them, and which of them want an event."""

import base64
import json
from typing import Any

import pytest

from relay_jobs.webhooks.addresses import AllowedHosts
from relay_jobs.webhooks.endpoints import EVENTS, BadEndpoints, Endpoints, Rules, parse

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
URL = "https://hooks.example.com/relay?token=t0psecret"
RULES = Rules(AllowedHosts(["hooks.example.com", "*.partner.org", "10.0.0.9", "::1", "8.8.8.8"]))


def read(*entries: dict[str, Any], key: str = "main", rules: Rules = RULES, **variables: str) -> Endpoints:
    """The endpoints of one key."""
    return parse(json.dumps({key: entries}).encode(), rules, variables)


def entry(**fields: Any) -> dict[str, Any]:
    """An endpoint that is allowed, but for these fields."""
    return {"url": URL, "secrets": [SECRET], **fields}


def test_an_endpoint() -> None:
    """It has the key of its secret, wants all events, and shows neither URL nor key."""
    [endpoint] = read(entry()).by_name.values()
    assert (endpoint.key_id, endpoint.url, endpoint.keys) == ("main", URL, (bytes(range(32)),))
    assert (endpoint.events, endpoint.host) == (EVENTS, "hooks.example.com")
    assert "t0psecret" not in repr(endpoint)
    assert str(bytes(range(32))) not in repr(endpoint)


def test_names() -> None:
    """One without a name has one that is made of its key and URL, and stays when the file is read again."""
    [name] = read(entry()).by_name
    assert [name] == list(read(entry(secrets=[OLD])).by_name)
    assert [name] != list(read(entry(), key="other").by_name)
    assert list(read(entry(name="crm-1")).by_name) == ["crm-1"]


def test_secrets_of_a_rotation() -> None:
    """Newest first, in the file itself or in variables and files of secrets."""
    [endpoint] = read(
        entry(secrets=["RELAY_WEBHOOK_SECRET_NEW", OLD]), RELAY_WEBHOOK_SECRET_NEW=SECRET
    ).by_name.values()
    assert endpoint.keys == (bytes(range(32)), bytes(range(1, 33)))


def test_who_wants_an_event() -> None:
    """The endpoints of the event's key, then those of every key, each for its types."""
    text = {
        "main": [entry(name="all"), entry(name="turns", events=["turn.ended"])],
        "other": [entry(name="other")],
        "*": [entry(name="every", events=["turn.ended", "conversation.ended"])],
    }
    endpoints = parse(json.dumps(text).encode(), RULES, {})
    wanted = {
        (key, event): [endpoint.name for endpoint in endpoints.of(key, event)]
        for key in ("main", "")
        for event in ("turn.ended", "conversation.ended", "clip.ready", "motion.opened")
    }
    assert wanted == {
        ("main", "turn.ended"): ["all", "turns", "every"],
        ("main", "conversation.ended"): ["all", "every"],
        ("main", "clip.ready"): ["all"],
        ("main", "motion.opened"): [],
        ("", "turn.ended"): ["every"],
        ("", "conversation.ended"): ["every"],
        ("", "clip.ready"): [],
        ("", "motion.opened"): [],
    }


@pytest.mark.parametrize(
    "url",
    ["https://a.partner.org:8443/x", "https://8.8.8.8/", "https://HOOKS.example.com"],
)
def test_urls(url: str) -> None:
    """Any port and path of a host that is named."""
    assert read(entry(url=url)).by_name


def test_what_laptops_open() -> None:
    """Plain http, and addresses that are not public, each by its own setting."""
    rules = Rules(RULES.hosts, http=True, private_networks=True)
    for url in ("http://hooks.example.com/", "http://10.0.0.9:9000/", "http://[::1]:9000/"):
        assert read(entry(url=url), rules=rules).by_name


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"url": "http://hooks.example.com/"}, r"main\[0\]\.url: must begin with https://$"),
        ({"url": "ftp://hooks.example.com/"}, r"url: must begin with https://"),
        ({"url": "hooks.example.com/"}, r"url: must begin with https://"),
        ({"url": "https://evil.net/"}, r"url: has a host that RELAY_WEBHOOK_HOSTS does not name"),
        ({"url": "https://hooks.example.com@evil.net/"}, r"url: must have no user"),
        ({"url": "https://user@hooks.example.com/"}, r"url: must have no user"),
        ({"url": "https://hooks.example.com/#x"}, r"url: must have no user and no fragment"),
        ({"url": "https://hooks.example.com:port/"}, r"url: is not a URL"),
        ({"url": "https://[::1/"}, r"url: is not a URL"),
        ({"url": "https://10.0.0.9/"}, r"url: has an address that is not public"),
        ({"url": "https://[::1]/"}, r"url: has an address that is not public"),
        ({"url": 5}, r"main\[0\]: Expected `str`, got `int` - at `\$\.url`"),
        ({"secrets": []}, r"secrets: needs at least one"),
        ({"secrets": ["whsec_dG9vc2hvcnQ"]}, r"secrets\[0\]: a secret has 24"),
        ({"secrets": [SECRET, "hunter2"]}, r"secrets\[1\]: must be whsec_ and base64, or the name"),
        ({"secrets": ["RELAY_TOKEN_SECRET"]}, r"secrets\[0\]: must be whsec_ and base64, or the name"),
        ({"secrets": ["RELAY_WEBHOOK_SECRET"]}, r"secrets\[0\]: RELAY_WEBHOOK_SECRET is not set"),
        ({"secrets": ["RELAY_WEBHOOK_SECRET_BAD"]}, r"secrets\[0\]: a secret begins with whsec_"),
        ({"events": ["turn.ended", "turn.began"]}, r"events\[1\]: must be one of clip.failed, "),
        ({"name": "CRM"}, r"name: must have 1 to 40"),
        ({"name": "-"}, r"name: must have 1 to 40"),
        ({"secret": SECRET}, r"main\[0\]: Object contains unknown field `secret`"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:40],
)
def test_what_is_refused(fields: dict[str, Any], why: str) -> None:
    """Each fault is explained with its field, without a secret and without the URL."""
    with pytest.raises(BadEndpoints, match=why) as refused:
        read(entry(**fields), RELAY_WEBHOOK_SECRET_BAD="hunter2hunter2")
    for secret in (SECRET, OLD, "hunter2", "t0psecret", "dG9vc2hvcnQ", "evil.net"):
        assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "the file: Input data was truncated"),
        (b"[]", "the file: Expected `object`, got `array`"),
        (b'{"main": {}}', "the file: Expected `array`"),
        (b'{"NOT A KEY": [{}]}', r"a name at the top of the file: must be the id of an API key, or \*"),
        (b'{"main": [{}]}', r"main\[0\]: Object missing required field `url`"),
        # From Python 3.14 on the depth is bounded by the stack, so the type of the outermost is seen first.
        (
            b'{"main": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
            r"the file: is nested too deeply|main\[0\]: ",
        ),
        (b"\xff", "the file: "),
    ],
    ids=["empty", "array", "object", "key", "fields", "deep", "bytes"],
)
def test_what_is_no_file(text: bytes, why: str) -> None:
    """Any other text is refused with the place of its fault."""
    with pytest.raises(BadEndpoints, match=why):
        parse(text, RULES, {})


def test_a_name_twice() -> None:
    """Two endpoints of one name are refused, also when both have the name that key and URL make."""
    for twins in ((entry(name="a"), entry(name="a", url="https://x.partner.org")), (entry(), entry())):
        with pytest.raises(BadEndpoints, match=r"main\[1\]\.name: another endpoint"):
            read(*twins)

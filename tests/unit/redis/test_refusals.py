"""Replies and refusals: what the scripts answer is known, and what an error reply means."""

import re

import pytest
from redis.exceptions import InvalidResponse

from relay_redis.errors import Refused, Unavailable
from relay_redis.refusals import LIMIT, REASONS, Refusal
from relay_redis.script import Script
from relay_settings.redis_url import Address
from relay_streams import scripts
from relay_streams.scripts.publish import PUBLISH

_ANSWERS = re.compile(r"(?:return |settled\()\{'(\w+)'([^}]*)")


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_every_word_of_a_script_is_known(script: Script) -> None:
    """A script that answers with a word of its own has it in its check: else its replies end connections."""
    types = {bytes: b"1", int: 1}
    for answer, values in _ANSWERS.findall(script.text):
        candidates = [[answer.encode()]]
        for _ in range(values.count(",")):
            candidates = [[*reply, value] for reply in candidates for value in types.values()]
        assert any(map(script.reply, candidates)), f"{script.name}.lua answers {answer!r}"


@pytest.mark.parametrize(
    "reply", [None, 1, b"ok", [], [None], [[b"ok"]], [b"ok"], [b"ok", b"1"], [b"other", 1]]
)
def test_what_no_publishing_answers(reply: object) -> None:
    assert not PUBLISH.reply(reply)


@pytest.mark.parametrize(
    ("text", "reason", "kind"),
    [
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE", Refused),
        (
            "ERR user_script:1: attempt to compare nil with number script: x, on @user_script:1.",
            "ERR",
            Refused,
        ),
        ("ERR value is not an integer or out of range", "ERR", Refused),
        (
            "ERR The user executing the script can't access a key script: x, on @user_script:1.",
            "NOPERM",
            Unavailable,
        ),
        ("NOPERM this user has no permissions to run the 'xadd' command", "NOPERM", Unavailable),
        ("ERR unknown command 'X', with args beginning with: 'secret'", "unknown-command", Unavailable),
        ("ERR something new", "ERR", Unavailable),
        ("SOMETHING new", "other", Unavailable),
        ("", "other", Unavailable),
        ("MOVED 1 host:1", "MOVED", Unavailable),
    ],
)
def test_what_a_refusal_means(text: str, reason: str, kind: type[Exception]) -> None:
    """Only a defect of the command is final."""
    refusal = Refusal(text)

    assert refusal.reason == reason
    assert refusal.reason in REASONS
    assert type(refusal.store_error()) is kind
    assert "secret" not in str(refusal.store_error())


def test_a_long_refusal_is_cut() -> None:
    assert len(Refusal("ERR " + "x" * 100_000).words) == LIMIT


def test_where_a_redirect_leads() -> None:
    asked = Address("asked", 1)
    assert Refusal("MOVED 7 host:2").redirect(asked) == (7, Address("host", 2))
    assert Refusal("ASK 7 ::1:2").redirect(asked) == (7, Address("::1", 2))
    assert Refusal("ASK 7 :2").redirect(asked) == (7, Address("asked", 2))
    for text in ("MOVED", "MOVED x y", "MOVED 1 host", "ASK 1 host:x"):
        with pytest.raises(InvalidResponse):
            Refusal(text).redirect(asked)

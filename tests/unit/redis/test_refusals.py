"""Refusals: the meaning of each error reply for the caller."""

import pytest
from redis.exceptions import InvalidResponse

from relay_redis.errors import Refused, Unavailable
from relay_redis.refusals import LIMIT, REASONS, Refusal
from relay_settings.redis_url import Address


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


def test_a_long_refusal_is_truncated() -> None:
    """Logs and errors keep LIMIT characters of it."""
    assert len(Refusal("ERR " + "x" * 100_000).words) == LIMIT


def test_the_target_of_a_redirect() -> None:
    """Slot and address; without a host it is the sender's; a redirect without a target raises."""
    sender = Address("sender", 1)
    assert Refusal("MOVED 7 host:2").redirect(sender) == (7, Address("host", 2))
    assert Refusal("ASK 7 ::1:2").redirect(sender) == (7, Address("::1", 2))
    assert Refusal("ASK 7 :2").redirect(sender) == (7, Address("sender", 2))
    for text in ("MOVED", "MOVED x y", "MOVED 1 host", "ASK 1 host:x"):
        with pytest.raises(InvalidResponse):
            Refusal(text).redirect(sender)

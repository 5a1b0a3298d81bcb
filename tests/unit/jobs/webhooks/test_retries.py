"""Retries: what follows from each result, and how long the waits are."""

import random

import pytest

from relay_jobs.webhooks.retries import Next, Policy, Result, outcome_of, retry_after_s

POLICY = Policy(backoff_s=5, max_backoff_s=86_400, attempts=20, give_up_s=259_200)
FAILED = Result("failed", 500)


def wait_s(attempts: int, share: float = 1.0, result: Result = FAILED) -> float:
    """The wait after so many failed attempts."""
    after = POLICY.next(result, attempts=attempts, age_s=0, random_share=share)
    assert after.state == "due"
    return after.wait_s


def test_waits_double_up_to_a_day() -> None:
    """The longest wait doubles with each failure; the wait is a random share of it."""
    assert [wait_s(n) for n in (1, 2, 3, 14, 15, 16, 19)] == [5, 10, 20, 40_960, 81_920, 86_400, 86_400]
    assert (wait_s(3, 0.0), wait_s(3, 0.25)) == (0, 5)


def test_any_number_of_attempts() -> None:
    """A policy of a thousand attempts computes no infinite wait."""
    patient = POLICY._replace(attempts=5000)
    assert patient.next(FAILED, attempts=4000, age_s=0, random_share=1).wait_s == 86_400


def test_a_delivery_is_tried_for_days() -> None:
    """With the defaults a receiver may be away for most of a day; after three days and a wait it ends."""
    spans = []
    for seed in range(200):
        draw, age_s, attempts = random.Random(seed), 0.0, 1
        while (
            after := POLICY.next(FAILED, attempts=attempts, age_s=age_s, random_share=draw.random())
        ).wait_s:
            age_s, attempts = age_s + after.wait_s, attempts + 1
        spans.append(age_s / 86_400)
        assert after.state == "dead"
    assert min(spans) > 0.8
    assert max(spans) < 4


@pytest.mark.parametrize(
    ("result", "attempts", "age_s", "following"),
    [
        (Result("delivered", 204), 20, 10**9, Next("delivered")),
        (Result("gone", 410), 1, 0, Next("dead", reason="gone")),
        (FAILED, 19, 259_199, Next("due", 0)),
        (FAILED, 20, 0, Next("dead", reason="attempts")),
        (FAILED, 21, 0, Next("dead", reason="attempts")),
        (FAILED, 1, 259_200, Next("dead", reason="age")),
        (Result("unknown_endpoint"), 1, 0, Next("due", 0)),
    ],
)
def test_what_follows(result: Result, attempts: int, age_s: float, following: Next) -> None:
    """Success ends a delivery, 410 makes it a dead letter at once, any other failure at the bounds only."""
    assert POLICY.next(result, attempts=attempts, age_s=age_s, random_share=0) == following


def test_a_receiver_may_ask_for_a_longer_wait() -> None:
    """Its Retry-After is the least wait, up to the longest of all; it shortens none."""
    asked = Result("refused", 429, retry_after_s=60)
    assert (wait_s(1, 0, asked), wait_s(10, 1, asked)) == (60, 2560)
    assert wait_s(1, 0, asked._replace(retry_after_s=10**9)) == 86_400


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "delivered"), (204, "delivered"), (299, "delivered"), (300, "redirected"), (307, "redirected"),
        (400, "refused"), (410, "gone"), (429, "refused"), (500, "failed"), (599, "failed"), (101, "refused"),
    ],
)  # fmt: skip
def test_outcomes(status: int, outcome: str) -> None:
    """Only a status of 2xx is a success."""
    assert outcome_of(status) == outcome


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120), ("0", 0), ("", 0), ("-5", 0), ("1.5", 0), ("soon", 0), ("٣", 0),
        ("9" * 5000, 999_999_999),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Mon, 99 Jan 99999 00:00:00 GMT", 0),
    ],
)  # fmt: skip
def test_retry_after(text: str, seconds: float) -> None:
    """Seconds, or a date; anything else asks for nothing."""
    assert retry_after_s(text, 1000) == seconds

"""Allowances: no faster than they say, over any stretch of time, and forgotten when they do not matter."""

from hypothesis import given
from hypothesis import strategies as st

from relay_runtime.token_bucket import TokenBucket, TokenBuckets


@given(
    per_s=st.floats(0.1, 1000),
    burst=st.integers(1, 100),
    waits=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_never_more_than_its_rate(per_s: float, burst: int, waits: list[float]) -> None:
    """What was taken is at most the burst and what has grown since."""
    allowance = TokenBucket(per_s, burst, 0)
    now, taken = 0.0, 0
    for wait in waits:
        now += wait
        taken += not allowance.take(1, now)
        assert taken <= burst + per_s * now + 1e-6


def test_says_how_long_to_wait() -> None:
    """And then it is there."""
    allowance = TokenBucket(2, 4, 0)
    assert allowance.take(4, 0) == 0

    wait_s = allowance.take(1, 0)

    assert wait_s == 0.5
    assert allowance.take(1, wait_s) == 0


def test_forgets_those_that_are_full() -> None:
    """Memory follows the rate of keys, not their number."""
    allowances = TokenBuckets(10, 1)
    for number in range(100_000):
        assert allowances.take(str(number), number / 1000) == 0

    assert len(allowances) < 3000


def test_remembers_those_that_are_not() -> None:
    """A flood of other keys does not set anybody free."""
    allowances = TokenBuckets(0.001, 1)
    assert allowances.take("mallory", 0) == 0
    for number in range(10_000):
        allowances.take(str(number), 1)

    assert allowances.take("mallory", 2) > 0

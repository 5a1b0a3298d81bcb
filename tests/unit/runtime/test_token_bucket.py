"""Token buckets: never above rate and burst in any period, and removed when they are full."""

from hypothesis import given
from hypothesis import strategies as st

from relay_runtime.token_bucket import TokenBucket, TokenBuckets


@given(
    per_s=st.floats(0.1, 1000),
    burst=st.integers(1, 100),
    waits=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_never_more_than_its_rate(per_s: float, burst: int, waits: list[float]) -> None:
    """The consumed tokens are at most the burst and those added since."""
    bucket = TokenBucket(per_s, burst, 0)
    now, consumed = 0.0, 0
    for wait in waits:
        now += wait
        consumed += not bucket.consume(1, now)
        assert consumed <= burst + per_s * now + 1e-6


def test_the_time_until_a_token_is_there() -> None:
    """After it the token can be consumed."""
    bucket = TokenBucket(2, 4, 0)
    assert bucket.consume(4, 0) == 0

    wait_s = bucket.consume(1, 0)

    assert wait_s == 0.5
    assert bucket.consume(1, wait_s) == 0


def test_full_buckets_are_removed() -> None:
    """Memory follows the rate of keys, not their number."""
    buckets = TokenBuckets(10, 1)
    for number in range(100_000):
        assert buckets.consume(str(number), number / 1000) == 0

    assert len(buckets) < 3000


def test_other_buckets_are_kept() -> None:
    """A flood of other keys resets no bucket."""
    buckets = TokenBuckets(0.001, 1)
    assert buckets.consume("mallory", 0) == 0
    for number in range(10_000):
        buckets.consume(str(number), 1)

    assert buckets.consume("mallory", 2) > 0

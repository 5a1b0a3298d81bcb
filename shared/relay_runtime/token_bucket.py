"""Token buckets: a rate and a burst. Pure: the caller passes the time."""

_MIN_KEYS = 1024
"""Keys below which forgetting is not worth a look at all of them."""


class TokenBucket:
    """What one may still take.

    Args:
        per_s: How fast it grows again.
        burst: What it grows to, and begins with.
        now: Seconds, of any clock that does not go back; the same for ``take``.
    """

    __slots__ = ("_burst", "_left", "_per_s", "_then")

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._then = now

    def consume(self, amount: float, now: float) -> float:
        """Consume tokens if the bucket has them; returns 0.0 then, else the seconds until it has.

        More than the burst is never there.
        """
        self._left = min(self._burst, self._left + (now - self._then) * self._per_s)
        self._then = now
        if self._left < amount:
            return (amount - self._left) / self._per_s
        self._left -= amount
        return 0.0

    def full(self, now: float) -> bool:
        """Whether it is as if it were new."""
        return self._left + (now - self._then) * self._per_s >= self._burst


class TokenBuckets:
    """One bucket per key, removed when it is full again: memory follows the rate, not the time.

    Args:
        per_s: As ``TokenBucket``.
        burst: As ``TokenBucket``.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._by_key: dict[str, TokenBucket] = {}
        self._remove_full_from = _MIN_KEYS

    def __len__(self) -> int:
        return len(self._by_key)

    def consume(self, key: str, now: float) -> float:
        """Take one; as ``TokenBucket.take``."""
        bucket = self._by_key.get(key)
        if bucket is None:
            if len(self._by_key) >= self._remove_full_from:
                self._remove_full(now)
            bucket = self._by_key[key] = TokenBucket(self._per_s, self._burst, now)
        return bucket.consume(1, now)

    def _remove_full(self, now: float) -> None:
        self._by_key = {key: one for key, one in self._by_key.items() if not one.full(now)}
        # Doubling keeps the cost of looking at all of them constant per new key.
        self._remove_full_from = max(_MIN_KEYS, 2 * len(self._by_key))

"""Token buckets: a rate and a burst. Pure: the caller passes the time."""

_MIN_KEYS = 1024
"""Below this number of keys full buckets are not removed."""


class TokenBucket:
    """The tokens that are left of a rate and a burst.

    Args:
        per_s: Tokens that are added per second.
        burst: The most tokens, and those at the begin.
        now: Seconds of a monotonic clock, the same as for ``consume``.
    """

    __slots__ = ("_burst", "_left", "_per_s", "_then")

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._then = now

    def consume(self, amount: float, now: float) -> float:
        """Consume tokens if the bucket has them; returns 0.0 then, else the seconds until it has.

        A bucket never has more than the burst.
        """
        self._left = min(self._burst, self._left + (now - self._then) * self._per_s)
        self._then = now
        if self._left < amount:
            return (amount - self._left) / self._per_s
        self._left -= amount
        return 0.0

    def full(self, now: float) -> bool:
        """Whether the bucket has the whole burst, as a new one."""
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
        """Consume one token of a key; as ``TokenBucket.consume``."""
        bucket = self._by_key.get(key)
        if bucket is None:
            if len(self._by_key) >= self._remove_full_from:
                self._remove_full(now)
            bucket = self._by_key[key] = TokenBucket(self._per_s, self._burst, now)
        return bucket.consume(1, now)

    def _remove_full(self, now: float) -> None:
        self._by_key = {key: one for key, one in self._by_key.items() if not one.full(now)}
        # Doubling keeps the cost of the scan constant per new key.
        self._remove_full_from = max(_MIN_KEYS, 2 * len(self._by_key))

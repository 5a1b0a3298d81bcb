"""Usage: what the conversations of each app used on each day, as counters in their partitions.

An app is an API key, by its id; conversations without one, which gateways create for guests, count for the
app with the empty name. Days are those of UTC. The jobs service counts, and control reads.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, get_args

from relay_redis.client import RedisClient, Reply
from relay_streams.conversations import fields_of
from relay_streams.keys import KeySpace, PartitionKeys
from relay_wire.events import Outcome
from relay_wire.pcm import BYTES_PER_SAMPLE, SAMPLE_RATES

MAX_DAYS = 92
"""Most days of one read."""
OUTCOMES: Sequence[Outcome] = get_args(Outcome)

CONVERSATIONS = "conversations"
MOTION_BYTES = "motion_bytes"
MOTION_MS = "motion_ms"
"""Of Motion sessions whose owner has reported their end."""
CREDITS = "credits"
ESTIMATED_MOTION_MS = "estimated_motion_ms"
"""Of Motion sessions whose owner was killed before it could report their end."""
ESTIMATED_CREDITS = "estimated_credits"
VIEWER_MS = "viewer_ms"

_READS_AT_ONCE = 500


def turns(outcome: str) -> str:
    """The counter of turns with an outcome."""
    return f"turns:{outcome}"


def audio_bytes(sample_rate: int) -> str:
    """The counter of published audio at a sample rate."""
    return f"audio_bytes:{sample_rate}"


def day_of(at_ms: int) -> str:
    """The UTC day of a wall time, in ISO 8601."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


class DailyUsage(NamedTuple):
    """What the conversations of an app used on a day."""

    app: str
    """The id of the API key; empty for guests' conversations."""
    day: str
    """In ISO 8601, UTC."""
    counts: Mapping[str, int]
    """By counter; one that is missing is 0."""

    def count(self, counter: str) -> int:
        """The value of one counter."""
        return self.counts.get(counter, 0)

    @property
    def audio_bytes(self) -> int:
        """Published audio, of all sample rates."""
        return sum(self._audio.values())

    @property
    def speech_s(self) -> float:
        """The duration of the published audio, in seconds."""
        return sum(size / (rate * BYTES_PER_SAMPLE) for rate, size in self._audio.items())

    @property
    def motion_s(self) -> float:
        """How long Motion sessions were connected, in seconds, estimates included."""
        return (self.count(MOTION_MS) + self.count(ESTIMATED_MOTION_MS)) / 1000

    @property
    def credits(self) -> int:
        """The vendor's credits of these sessions, estimates included."""
        return self.count(CREDITS) + self.count(ESTIMATED_CREDITS)

    @property
    def _audio(self) -> dict[int, int]:
        counters = {rate: audio_bytes(rate) for rate in SAMPLE_RATES}
        return {rate: self.counts[name] for rate, name in counters.items() if name in self.counts}


def days_between(first: date, last: date) -> list[str]:
    """Every day from the first to the last, both included."""
    return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


async def read(
    client: RedisClient, space: KeySpace, days: Iterable[str], app: str | None = None
) -> list[DailyUsage]:
    """Read the usage of one app, or of all, by day and app. Days without usage are left out.

    Raises:
        Unavailable: Redis cannot be read now.
    """
    rows = []
    for day in days:
        apps = await _apps(client, space, day) if app is None else [app]
        rows += [row for name in apps if (row := await _row(client, space, name, day)).counts]
    return rows


async def _apps(client: RedisClient, space: KeySpace, day: str) -> list[str]:
    replies = await _of_all_partitions(client, space, "SMEMBERS", lambda keys: keys.usage_apps(day))
    return sorted({name.decode(errors="replace") for names in replies for name in names})


async def _row(client: RedisClient, space: KeySpace, app: str, day: str) -> DailyUsage:
    counts: Counter[str] = Counter()
    for reply in await _of_all_partitions(client, space, "HGETALL", lambda keys: keys.usage(app, day)):
        for name, value in fields_of(reply).items():
            if value.removeprefix(b"-").isdigit():
                counts[name.decode(errors="replace")] += int(value)
    return DailyUsage(app, day, counts)


async def _of_all_partitions(
    client: RedisClient, space: KeySpace, command: str, name: Callable[[PartitionKeys], str]
) -> list[Reply]:
    names = [name(space.shared(partition)) for partition in range(space.partitions)]
    replies: list[Reply] = []
    for start in range(0, len(names), _READS_AT_ONCE):
        batch = names[start : start + _READS_AT_ONCE]
        replies += await asyncio.gather(*(client.execute(command, key) for key in batch))
    return replies

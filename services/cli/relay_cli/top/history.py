"""History: the last scrapes of each process, from which intervals are made."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from relay_cli.top.interval import Interval
from relay_cli.top.scraped import Scraped


@dataclass(frozen=True)
class Answer:
    """What one target's admin port returned in one round."""

    scraped: Scraped | None = None
    """Its metrics; None when it is away."""
    away: str = ""
    """Why it is away."""
    ready: bool | None = None
    """What ``/readyz`` returned; None when it is not known."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why the process is not ready, by part."""
    degraded: Mapping[str, str] = field(default_factory=dict)
    """Why it works slower than it could, by part."""


class Observed(NamedTuple):
    """One target as it stands now."""

    target: str
    answer: Answer
    interval: Interval | None
    """What changed; None while it is away."""
    service: str = ""
    """The service, also while the target is away; empty when it was never seen."""


class _Point(NamedTuple):
    at: float
    scraped: Scraped


class History:
    """Scrapes of the last seconds, by target.

    Args:
        window_s: Length of the intervals. An interval is shorter while fewer scrapes are known.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._points: dict[str, deque[_Point]] = {}
        self._services: dict[str, str] = {}

    def add(self, at: float, answers: Mapping[str, Answer]) -> list[Observed]:
        """Add a round.

        Args:
            at: Its time, in seconds of any clock that does not move back.
            answers: By target. A target that is not in it is forgotten.

        Returns:
            Every target of the round.
        """
        self._points = {target: self._points.get(target, deque()) for target in answers}
        self._services = {target: self._services.get(target, "") for target in answers}
        return [self._observed(at, target, answer) for target, answer in answers.items()]

    def _observed(self, at: float, target: str, answer: Answer) -> Observed:
        points = self._points[target]
        if answer.scraped is None:
            points.clear()
            return Observed(target, answer, None, self._services[target])
        # One scrape older than the window stays: it is where the interval begins.
        while len(points) > 1 and points[1].at <= at - self._window_s:
            points.popleft()
        first = points[0] if points else None
        points.append(_Point(at, answer.scraped))
        self._services[target] = answer.scraped.text("relay_build_info", "service") or self._services[target]
        interval = Interval(first.scraped if first else None, answer.scraped, at - first.at if first else 0.0)
        return Observed(target, answer, interval, self._services[target])

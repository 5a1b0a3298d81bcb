"""Lines: what a process costs by itself, and what a frame adds to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import correlation, linear_regression
from typing import Self


@dataclass(frozen=True)
class Line:
    """CPU against load: ``cores = fixed_cores + us_per_frame x frames/s / 1e6``."""

    fixed_cores: float
    us_per_frame: float
    r2: float
    """Share of the variation that the line explains; 1.0 is a straight line."""

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Self:
        """The least squares fit to frames/s and cores.

        Raises:
            ValueError: Fewer than two rates: any line fits.
        """
        rates, cores = [rate for rate, _ in points], [used for _, used in points]
        if len(set(rates)) < 2:
            raise ValueError("a line needs two rates or more")
        slope, fixed_cores = linear_regression(rates, cores)
        r2 = correlation(rates, cores) ** 2 if len(set(cores)) > 1 else 1.0
        return cls(fixed_cores, slope * 1e6, r2)

    def cores(self, rate: float) -> float:
        """At this rate of frames per second."""
        return self.fixed_cores + self.us_per_frame * rate / 1e6

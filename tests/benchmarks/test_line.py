"""The line through CPU against load, and the plot of it."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.benchmarks.line import Line
from tests.benchmarks.plot import draw


def test_a_straight_line() -> None:
    """Is found as it is."""
    line = Line.through([(rate, 0.05 + 30e-6 * rate) for rate in (500, 1000, 4000, 6000)])

    assert (line.fixed_cores, line.us_per_frame) == pytest.approx((0.05, 30))
    assert line.r2 == pytest.approx(1.0)
    assert line.cores(2000) == pytest.approx(0.05 + 0.06)


def test_least_squares() -> None:
    """By hand: what is off the line on both sides leaves it where it is, and shows in R²."""
    line = Line.through([(1000, 0.2), (1000, 0.0), (3000, 0.4), (3000, 0.2)])

    assert (line.fixed_cores, line.us_per_frame) == pytest.approx((0.0, 100))
    assert line.r2 == pytest.approx(0.5)


def test_a_process_that_does_nothing() -> None:
    """Is a line, too."""
    assert Line.through([(1000, 0.0), (2000, 0.0)]) == Line(0.0, 0.0, 1.0)


@pytest.mark.parametrize("points", [[], [(1000, 0.1)], [(1000, 0.1), (1000, 0.2)]])
def test_one_rate_is_no_line(points: list[tuple[float, float]]) -> None:
    """Any would fit."""
    with pytest.raises(ValueError, match="two rates"):
        Line.through(points)


def test_the_plot(tmp_path: Path) -> None:
    """Valid SVG with the figures in it as text; the same points make the same file."""
    series = {"gateway": [(1000.0, 0.1), (2000.0, 0.15)], "redis": [(1000.0, 0.05), (2000.0, 0.1)]}
    for name in ("a.svg", "folder/b.svg"):
        draw(tmp_path / name, "500 conversations", series)
    text = (tmp_path / "a.svg").read_text()

    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own file
    assert "500 conversations" in text
    assert "gateway: 0.050 cores + 50.0 µs a frame (R² 1.000)" in text
    assert text == (tmp_path / "folder/b.svg").read_text()

"""The pictures of dashboards: drawn from any answers, none among them."""

import math

import pytest
from scripts.dashboards.board import Unit
from scripts.dashboards.draw import Answer, Line, Span, draw, formatted
from scripts.dashboards.saved import SavedBoard, SavedPanel, SavedRow

SPAN = Span(1000.0, 1003.0, {"something happens": 1001.0})
PNG = b"\x89PNG"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0421, Unit.SECONDS, "42.1 ms"),
        (0.0, Unit.SECONDS, "0 s"),
        (12.0, Unit.SECONDS, "12 s"),
        (0.9991, Unit.RATIO, "99.91 %"),
        (3 * 2**20, Unit.BYTES, "3 MiB"),
        (512, Unit.BYTES_PER_S, "512 B/s"),
        (2.5, Unit.PER_S, "2.5/s"),
        (7, Unit.COUNT, "7"),
    ],
)
def test_values_have_their_unit(value, unit, text) -> None:
    assert formatted(value, unit) == text


KINDS = {"timeseries": 8, "stat": 4, "bargauge": 8}


def board(*, stacked: bool = False) -> SavedBoard:
    """One panel of each kind."""
    panels = [
        SavedPanel(kind, "What it shows.", kind, Unit.BYTES, (), stacked, (), 8 * number, 1, 8, height)
        for number, (kind, height) in enumerate(KINDS.items())
    ]
    return SavedBoard("relay-one", "One", "Is it?", (SavedRow("Is it?", 0),), tuple(panels), {})


@pytest.mark.parametrize("stacked", [False, True])
def test_panels_are_drawn_from_series_with_holes(stacked, tmp_path) -> None:
    """More series than have a legend, without a value, without a name, below 0; an exemplar."""
    points = [(1000.0, 0.1), (1001.0, math.nan), (1002.0, 0.3), (1003.0, 0.2)]
    lines = [Line(f"series {number}", points) for number in range(12)]
    lines += [Line("", [(at, -value) for at, value in points]), Line("none", [(1000.0, math.nan)])]
    file = tmp_path / "folder" / "board.png"

    draw(file, board(stacked=stacked), dict.fromkeys(KINDS, Answer(lines, [(1001.0, 0.2)])), SPAN)

    assert file.read_bytes().startswith(PNG)


def test_a_panel_without_an_answer_is_drawn_empty(tmp_path) -> None:
    draw(tmp_path / "board.png", board(), {}, SPAN)

    assert (tmp_path / "board.png").read_bytes().startswith(PNG)

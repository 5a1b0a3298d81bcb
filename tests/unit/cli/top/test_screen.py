"""Screen: every number of a view can be read, and what is absent is a dash."""

from io import StringIO

import pytest
from rich.console import Console

from relay_cli.top.problems import Problem
from relay_cli.top.screen import count, screen, seconds, size
from relay_cli.top.view import Conversations, Jobs, Lag, Motion, Process, View, Viewers


def drawn(view: View, *problems: Problem) -> str:
    text = StringIO()
    Console(file=text, width=160).print(screen(view, list(problems), clock="12:00:00"))
    return text.getvalue()


def test_a_view_with_everything() -> None:
    """Names of other processes are shown as they are, also when they look like markup."""
    view = View(
        10.0,
        Conversations(1234, 20, 2, 7.5, 3.25, {"complete": 9}),
        [Lag("uplink", 0.0021, 1.5, 0.25)],
        Motion(3, 4.5, {"creditsExhausted": 2}, 60.0, 610),
        Viewers(50, {"native": 50}, 1, 2, 3, 5_000_000, {"forbidden": 1}),
        [
            Process("gateway", "[red]:1", "not ready", "redis: [gone]", 7, 0.95, 80_000_000, 0.5, "1.0"),
            Process("", "h:2", "away", "no answer", None, None, None, None, ""),
            Process("ingest", "h:3", "ready", "", 1, 0.1, 2e9, 0.001, "1.0"),
        ],
        Jobs(17, 61.0, 3, {"done": 40}, 130.0),
    )
    shown = drawn(view, Problem("critical", "a process is away"))

    for part in (
        "over the last 10 s", "critical a process is away", "1,234", "2, 7.50 s", "3.25", "complete 9",
        "2.1 ms", "1.50 s", "creditsExhausted 2", "60.0", "610", "50 (native 50)", "5 MiB", "forbidden 1",
        "[red]:1", "not ready redis: [gone]", "95%", "76 MiB", "1.9 GiB", "500.0 ms", "away no answer",
        "61.00 s", "done 40", "130.00 s",
    ):  # fmt: skip
        assert part in shown, part


def test_a_view_with_nothing() -> None:
    view = View(
        0.0, Conversations(None, None, None, None, None, {}), [Lag("uplink", None, None)],
        Motion(None, None, {}, None, None), Viewers(None, {}, None, None, None, None, {}), [],
    )  # fmt: skip
    shown = drawn(view)

    assert "rates follow" in shown
    assert "opened per minute  -" in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (count(None), "-"), (count(0), "0"), (count(12345), "12,345"),
        (seconds(None), "-"), (seconds(0.0123), "12.3 ms"), (seconds(-0.5), "-500.0 ms"),
        (seconds(2), "2.00 s"),
        (size(None), "-"), (size(10), "10 B"), (size(2048), "2 KiB"), (size(3 * 2**30), "3.0 GiB"),
    ],
)  # fmt: skip
def test_numbers(text: str, expected: str) -> None:
    assert text == expected

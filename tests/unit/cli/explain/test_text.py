"""Text: a timeline can be read, also where names look like markup."""

from io import StringIO

from rich.console import Console
from tests.rigs.stored_turns import Frames, complete

from relay_cli.explain.text import show
from relay_cli.explain.timeline import timeline
from relay_cli.explain.turn import Turn
from relay_wire import events


def shown(turn: Turn, *, waiting: str = "", owner: str = "[worker]") -> str:
    text = StringIO()
    found = timeline(turn, conversation="c", owner=owner, traceparent="", waiting=waiting)
    show(found, Console(file=text, width=200))
    return text.getvalue()


def test_a_complete_turn() -> None:
    text = shown(complete().turn(stored_at_s=-0.1))

    for part in (
        "3, complete", "2023-11-14T22:13:19.900Z", "[worker]", "6, 100-11 to 100-16", "3.000 s, 96000 bytes",
        "90000 bytes, smallest lead +0.010 s", "- (not sampled)", "nothing waits", "first motion published",
        "0.600 s", "slowest", "every hop is within its usual time",
    ):  # fmt: skip
        assert part in text, part


def test_a_turn_of_which_little_is_known() -> None:
    """What is not known is a dash."""
    stream = Frames().event(0.0, events.Error("e", "[red]", retryable=True))
    text = shown(stream.turn(), waiting="2 entries", owner="")

    assert "e: [red]" in text
    assert "smallest lead -" in text
    assert "2 entries" in text
    assert "too few frames" in text


def test_a_slow_hop() -> None:
    """It is in the table, and in the sentence with what to look at."""
    stream = Frames().event(0.0, events.TurnStarted()).audio(0.0, 1.0).owner_changed(9.0)

    assert "Look at relay_ingest_takeover_seconds" in shown(stream.turn())

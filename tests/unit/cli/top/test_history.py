"""History: which scrapes an interval is made of."""

from relay_cli.top.history import Answer, History
from relay_cli.top.scraped import Scraped


def answer(count: int) -> Answer:
    text = f'relay_build_info{{service="gateway"}} 1\nn_total {count}\n'
    return Answer(Scraped.parse(text))


def test_an_interval_is_as_long_as_the_window() -> None:
    """It begins at the last scrape that is at least that old."""
    history = History(10.0)
    found = [history.add(at, {"a": answer(int(at))})[0].interval for at in (0.0, 6.0, 12.0, 18.0, 24.0)]

    assert [interval.seconds for interval in found if interval] == [0.0, 6.0, 12.0, 12.0, 12.0]
    assert [interval.increase("n_total") for interval in found if interval] == [None, 6, 12, 12, 12]


def test_a_target_that_was_away_begins_again() -> None:
    """While it is away its service is still known; afterwards it needs two scrapes for a rate."""
    history = History(10.0)
    history.add(0.0, {"a": answer(1)})
    [away] = history.add(2.0, {"a": Answer(away="connection refused")})
    [back] = history.add(4.0, {"a": answer(2)})

    assert (away.service, away.interval, away.answer.away) == ("gateway", None, "connection refused")
    assert back.interval is not None
    assert back.interval.before is None


def test_a_target_that_is_no_longer_named_is_removed() -> None:
    """Addresses of a DNS name come and go."""
    history = History(10.0)
    history.add(0.0, {"a": answer(1), "b": answer(1)})
    assert [found.target for found in history.add(2.0, {"a": answer(2)})] == ["a"]

    [_, again] = history.add(4.0, {"a": answer(3), "b": Answer(away="x")})
    assert again.service == ""

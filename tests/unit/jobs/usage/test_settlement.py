"""Settlement: viewer time by its differences, and Motion sessions that nobody has reported the end of."""

import pytest

from relay_jobs.usage.settlement import Terms, settle
from relay_streams.accounts import Account, Estimate, Settled, View

TERMS = Terms(session_ms=600_000, grace_ms=60_000, keep_ms=9)
DAY_MS = 86_400_000
DAY, NEXT = "2026-01-31", "2026-02-01"
T0 = 1_769_817_600_000
"""The first moment of ``DAY``."""
LATER = T0 + 10 * DAY_MS
OPENED = {"a": T0 + 1000}


def at(now_ms: int, **account: object) -> Settled:
    """The settlement of an account at a time."""
    return settle(Account("key", 4, **account), now_ms=now_ms, terms=TERMS)


def test_an_empty_account() -> None:
    """Nothing is counted, and it is not due again."""
    assert at(LATER) == Settled("key", 4, {}, {}, [], None, None, 9)


def test_viewer_time_counts_by_its_differences() -> None:
    """In whatever order events are noted; each difference on the day of its event; nothing counts twice."""
    views = {
        "view:3": View(900, T0 + DAY_MS),
        "view:1": View(500, T0),
        "view:2": View(700, T0 + 5),
        "view:0": View(90, T0),
    }
    settled = at(LATER, views=views, viewer_ms=100)
    assert settled.counts == {DAY: {"viewer_ms": 600}, NEXT: {"viewer_ms": 200}}
    assert settled.fields == {"viewer_ms": 900}
    assert set(settled.removed) == set(views)

    settled = at(LATER, views=views, viewer_ms=900)
    assert (settled.counts, settled.fields, set(settled.removed)) == ({}, {}, set(views))


def test_a_session_with_a_reported_end_leaves_the_account() -> None:
    """It was counted when the report was consumed."""
    settled = at(LATER, opened=OPENED, closed=frozenset("a"))
    assert (settled.counts, settled.removed, settled.due_ms) == ({}, ["opened:a", "closed:a"], None)


def test_a_report_before_its_session() -> None:
    """It stays until the session is noted: events may be consumed out of order."""
    assert at(LATER, closed=frozenset("a")).removed == []


def test_a_session_may_still_be_connected() -> None:
    """It is due when its longest time and the grace are over."""
    settled = at(T0 + 2000, opened=OPENED)
    assert (settled.counts, settled.due_ms) == ({}, T0 + 1000 + 600_000 + 60_000)


@pytest.mark.parametrize(
    ("account", "connected_ms"),
    [
        ({"opened": OPENED}, 600_000),
        ({"opened": OPENED, "ended_ms": T0 + 13_001}, 12_001),
        ({"opened": OPENED, "ended_ms": T0 + DAY_MS}, 600_000),
        ({"opened": OPENED, "ended_ms": T0}, 0),
        ({"opened": {**OPENED, "b": T0 + 7000, "c": T0 + 8000}, "closed": frozenset("bc")}, 6000),
        ({"opened": {**OPENED, "b": T0}, "closed": frozenset("b")}, 600_000),
    ],
)
def test_an_estimate(account: dict[str, object], connected_ms: int) -> None:
    """Until the next session, the end of the conversation, or the longest time; with its credits."""
    settled = at(LATER, **account)
    credits_ = max(1, -(-connected_ms // 6000))
    counts = {"estimated_motion_ms": connected_ms, "estimated_credits": credits_}
    assert settled.counts == {DAY: {name: value for name, value in counts.items() if value}}
    assert settled.fields == {"estimate:a": f"{DAY} {connected_ms} {credits_}"}
    assert "opened:a" not in settled.removed


def test_an_estimate_waits_for_the_grace() -> None:
    """A report may come later than the events after it; what bounds the estimate is kept until then."""
    account = {"opened": {**OPENED, "b": T0 + 7000}, "closed": frozenset("b")}
    settled = at(T0 + 8000, **account)
    assert (settled.counts, settled.removed, settled.due_ms) == ({}, [], T0 + 7000 + 60_000)
    assert at(T0 + 67_000, **account).counts == {DAY: {"estimated_motion_ms": 6000, "estimated_credits": 1}}


def test_an_estimate_counts_once() -> None:
    """It stays in the account, for a report that may come."""
    settled = at(LATER, opened=OPENED, estimates={"a": Estimate(DAY, 6001, 2)})
    assert (settled.counts, settled.removed) == ({}, [])


def test_a_late_report_replaces_the_estimate() -> None:
    """On the day on which it counted."""
    settled = at(LATER, opened=OPENED, closed=frozenset("a"), estimates={"a": Estimate(DAY, 6001, 2)})
    assert settled.counts == {DAY: {"estimated_motion_ms": -6001, "estimated_credits": -2}}
    assert settled.removed == ["estimate:a", "opened:a", "closed:a"]


def test_the_account_of_an_ended_conversation_expires() -> None:
    """Once nothing is due any more."""
    assert at(LATER, ended_ms=T0, opened=OPENED).expire_ms == DAY_MS
    assert at(T0 + 2, ended_ms=T0 + 2, opened={"a": T0 + 1}).expire_ms is None
    assert at(LATER).expire_ms is None


def test_the_fields_of_an_account() -> None:
    """All of them; those that are damaged are left out."""
    fields = {
        b"app": b"key", b"revision": b"4", b"view:3": b"900 1700", b"view:4": b"x 1", b"viewer_ms": b"100",
        b"opened:s:1": b"7", b"opened:2": b"-7", b"closed:s:1": b"1", b"estimate:z": b"2026-01-31 5 1",
        b"estimate:y": b"5 1", b"ended": b"9", b"other": b"\xff",
    }  # fmt: skip
    assert Account.from_fields(fields) == Account(
        "key", 4, {"view:3": View(900, 1700)}, 100, {"s:1": 7}, frozenset({"s:1"}),
        {"z": Estimate("2026-01-31", 5, 1)}, 9,
    )  # fmt: skip
    assert Account.from_fields({}) == Account()
    assert Account.from_fields({b"revision": b"x"}).revision == 0

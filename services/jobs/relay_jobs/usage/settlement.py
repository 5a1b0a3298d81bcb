"""Settlement: what an account has to count now. Pure.

A Motion session without a reported end counts until the next session of its conversation opened, until the
conversation ended, or for the longest time of a session, whichever comes first. A report that arrives later
replaces the estimate.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from relay_streams import usage
from relay_streams.accounts import Account, Estimate, Settled, note_estimate
from relay_wire.billing import credits_of

_KEEP_ENDED_MS = 86_400_000
"""How long the account of a conversation that has ended stays: entries may be consumed out of order."""


class Terms(NamedTuple):
    """How sessions without a reported end are estimated, and how long counts are kept."""

    session_ms: int
    """Longest time of a Motion session."""
    grace_ms: int
    """How late a report may be."""
    keep_ms: int


class _Totals:
    """What is added per day, and how the account changes."""

    def __init__(self) -> None:
        self.counts: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.fields: dict[str, str | int] = {}
        self.removed: list[str] = []
        self.due: list[int] = []

    def add(self, day: str, counter: str, value: int) -> None:
        if value:
            self.counts[day][counter] += value


def settle(account: Account, *, now_ms: int, terms: Terms) -> Settled:
    """What is to be counted, with the account's changes.

    Args:
        account: As it was read.
        now_ms: The wall time.
        terms: The rules of estimates.
    """
    totals = _Totals()
    _settle_views(account, totals)
    _settle_sessions(account, now_ms, terms, totals)
    over = account.ended_ms and not totals.due
    return Settled(
        app=account.app,
        revision=account.revision,
        counts={day: dict(counts) for day, counts in totals.counts.items()},
        fields=totals.fields,
        removed=totals.removed,
        due_ms=min(totals.due, default=None),
        expire_ms=_KEEP_ENDED_MS if over else None,
        keep_ms=terms.keep_ms,
    )


def _settle_views(account: Account, totals: _Totals) -> None:
    counted_ms = account.viewer_ms
    for view in sorted(account.views.values()):
        if view.viewer_ms > counted_ms:
            totals.add(usage.day_of(view.at_ms), usage.VIEWER_MS, view.viewer_ms - counted_ms)
            counted_ms = view.viewer_ms
    if counted_ms > account.viewer_ms:
        totals.fields["viewer_ms"] = counted_ms
    totals.removed += account.views


def _settle_sessions(account: Account, now_ms: int, terms: Terms, totals: _Totals) -> None:
    for session, opened_ms in account.opened.items():
        if session in account.closed or session in account.estimates:
            continue
        ends_ms = _end_ms(account, opened_ms, terms.session_ms)
        if ends_ms + terms.grace_ms > now_ms:
            totals.due.append(ends_ms + terms.grace_ms)
            continue
        _estimate(session, ends_ms - opened_ms, usage.day_of(ends_ms), totals)
    for session in account.closed & account.estimates.keys():
        _revoke(session, account.estimates[session], totals)
    # Until then their times bound the estimates of sessions before them.
    if not totals.due:
        _remove(account.closed & account.opened.keys(), totals)


def _end_ms(account: Account, opened_ms: int, session_ms: int) -> int:
    later = [at_ms for at_ms in account.opened.values() if at_ms > opened_ms]
    ended = [max(account.ended_ms, opened_ms)] if account.ended_ms else []
    return min(*later, *ended, opened_ms + session_ms, opened_ms + session_ms)


def _estimate(session: str, connected_ms: int, day: str, totals: _Totals) -> None:
    estimate = Estimate(day, connected_ms, credits_of(connected_ms / 1000))
    totals.fields |= note_estimate(session, estimate)
    totals.add(day, usage.ESTIMATED_MOTION_MS, estimate.ms)
    totals.add(day, usage.ESTIMATED_CREDITS, estimate.credits)


def _revoke(session: str, estimate: Estimate, totals: _Totals) -> None:
    totals.removed.append(f"estimate:{session}")
    totals.add(estimate.day, usage.ESTIMATED_MOTION_MS, -estimate.ms)
    totals.add(estimate.day, usage.ESTIMATED_CREDITS, -estimate.credits)


def _remove(sessions: Iterable[str], totals: _Totals) -> None:
    for session in sorted(sessions):
        totals.removed += (f"opened:{session}", f"closed:{session}")

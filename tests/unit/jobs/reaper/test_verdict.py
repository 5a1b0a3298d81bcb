"""Verdicts: what becomes of a conversation, by what was found of it."""

import pytest

from relay_jobs.reaper.verdict import Limits, Verdict, verdict
from relay_streams.scripts.examine import Examination

LIMITS = Limits(idle_ms=1000, gone_ms=500)


@pytest.mark.parametrize(
    ("state", "idle_ms", "unowned_ms", "expected"),
    [
        ("open", 999, -1, Verdict.KEEP),
        ("open", 1000, -1, Verdict.CLOSE),
        ("open", 1000, 9999, Verdict.CLOSE),
        ("closing", 9999, -1, Verdict.KEEP),
        ("closing", 499, 9999, Verdict.KEEP),
        ("closing", 9999, 499, Verdict.KEEP),
        ("closing", 500, 500, Verdict.END),
        ("ended", 9999, 9999, Verdict.KEEP),
        ("none", 9999, 9999, Verdict.KEEP),
        ("orphan", 0, 0, Verdict.REMOVE),
    ],
)
def test_what_becomes_of_it(state: str, idle_ms: int, unowned_ms: int, expected: Verdict) -> None:
    """An owner ends what is idle; only what nobody owns is ended without one."""
    assert verdict(Examination(state, idle_ms, unowned_ms, 0, ""), LIMITS) is expected


def test_a_conversation_may_live_for_ever() -> None:
    """With a time-to-live of 0 none is closed; one whose end was requested is ended all the same."""
    forever = LIMITS._replace(idle_ms=0)
    assert verdict(Examination("open", 10**12, -1, 0, ""), forever) is Verdict.KEEP
    assert verdict(Examination("closing", 10**12, 10**12, 0, ""), forever) is Verdict.END

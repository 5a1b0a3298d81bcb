"""The summary for a person."""

from relay_cli.verify.tally import Tally
from relay_cli.verify.text import summary, verdict


def test_a_summary_with_and_without_recoveries() -> None:
    """The line on recovery is there when a connection has ended."""
    report = {"conversations": 1, "viewers": 2, **Tally(turns=3, recovery_ms=[5.0]).as_json()}
    assert "recovery p50 5.0 ms" in "\n".join(summary(report))
    report |= Tally().as_json()
    assert "recovery" not in "\n".join(summary(report))


def test_verdicts() -> None:
    """Whole, not whole, and nothing to compare."""
    assert verdict(Tally(turns=1).as_json()).startswith("ok")
    assert verdict(Tally(turns=1, failed=2).as_json()) == "not whole: 2 failures"
    assert verdict(Tally().as_json()) == "not whole: no turn was compared"

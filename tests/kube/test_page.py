"""The report of kube-test, and the list of its steps; without a cluster."""

from pathlib import Path

import pytest
from tests.kube import page
from tests.kube.load import Verdict
from tests.kube.run import STEPS, _chosen
from tests.kube.step import Outcome, Step

REPORT = {
    "frames": 12345, "lost": 0, "repeated": 0, "reordered": 1, "gaps": 0, "final_closes": 2,
    "recovery_ms": {"p50": 81.4, "p99": 1234.5}, "stall_ms": {"p50": 99.5, "p99": 2100.2},
}  # fmt: skip


def _step(name: str) -> Step:
    return Step(name, f"what {name} does", lambda _: "")


def test_a_row_has_what_was_done_what_was_seen_and_the_counts():
    """A reader sees each step with its counts and times."""
    outcome = Outcome(_step("roll"), seen="10 pods", verdict=Verdict(True, REPORT))
    assert page.table([outcome]).splitlines()[-1] == (
        "| `roll` | what roll does | 10 pods | 12,345 | 0 | 0 | 1 | 0 | 2 | 81 / 1,234 ms | 100 / 2,100 ms |"
    )


def test_a_step_without_load_has_dashes():
    """Zeros would claim that something was compared."""
    row = page.table([Outcome(_step("install"), seen="12 pods are ready")]).splitlines()[-1]
    assert row.endswith("| 12 pods are ready | - | - | - | - | - | - | - | - |")


def test_no_recovery_where_no_connection_ended():
    """A step that ends no connection has no recovery."""
    assert page.times_of(Verdict(True, {"recovery_ms": {"p50": None, "p99": None}}), "recovery_ms") == "-"
    assert page.times_of(Verdict(True, {}), "recovery_ms") == "-"


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(_step("roll"), problem="not in 300 s"),
        Outcome(_step("roll"), verdict=Verdict(False, REPORT)),
    ],
)
def test_a_failed_step_is_marked(outcome: Outcome):
    """A state that was not reached fails a step, and so does a viewer that missed something."""
    assert not outcome.ok
    assert "| `roll` **failed** |" in page.table([outcome])
    assert outcome.to_json()["ok"] is False


def test_only_the_table_of_the_page_changes(tmp_path: Path):
    """What people wrote around the table stays."""
    path = tmp_path / "page.md"
    path.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write([Outcome(_step("roll"))], path)
    text = path.read_text()
    assert text.startswith(f"before\n{page.BEGIN}\n| step |")
    assert text.endswith(f"\n{page.END}\nafter\n")
    assert "old" not in text


def test_a_page_without_a_place_is_refused(tmp_path: Path):
    """A page that lost its comments is not overwritten."""
    path = tmp_path / "page.md"
    path.write_text("nothing")
    with pytest.raises(ValueError, match="lacks"):
        page.write([], path)


def test_the_page_of_the_documentation_has_the_place():
    """The real page is one that can be written."""
    text = page.PAGE.read_text()
    assert text.index(page.BEGIN) < text.index(page.END)


def test_steps_begin_with_the_installation_and_have_names_of_their_own():
    """Each step works on what the one before has left; the quick start has an installation of its own."""
    assert [STEPS[0].name, STEPS[1].name, STEPS[-1].name] == ["quick_start", "install", "uninstall"]
    assert len({step.name for step in STEPS}) == len(STEPS)


def test_the_short_form_follows_the_quick_start_installs_tests_and_rolls():
    """CI runs these four."""
    assert [step.name for step in _chosen("", short=True)] == ["quick_start", "install", "test", "roll"]


def test_chosen_steps_run_on_an_installation():
    """A step alone has something to run on."""
    assert [step.name for step in _chosen("drain", short=False)] == ["install", "drain"]

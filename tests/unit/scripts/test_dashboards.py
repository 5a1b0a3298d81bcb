"""The dashboards as they are committed: whole, readable, and about metrics that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from scripts.dashboards.board import Unit
from scripts.dashboards.saved import FOLDER, SavedBoard, boards
from tests.rigs.need import need
from tests.rigs.rules import RULES

METRICS = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
UIDS = {
    "relay-overview",
    "relay-turn",
    "relay-gateways",
    "relay-ingest",
    "relay-redis",
    "relay-runtime",
    "relay-jobs",
}
UNITS = {unit for name, unit in vars(Unit).items() if name.isupper()}
OF_THE_CLIENT = {
    "process_cpu_seconds_total", "process_max_fds", "process_open_fds", "process_resident_memory_bytes",
    "process_start_time_seconds", "python_gc_collections_total",
}  # fmt: skip
"""What Prometheus's client measures without us."""

BOARDS = list(boards())


def test_every_dashboard_has_its_address_for_ever() -> None:
    """Links and bookmarks have the uid; the file is named after it."""
    assert {board.uid for board in BOARDS} == UIDS
    assert {path.stem for path in FOLDER.glob("*.json")} == UIDS
    assert len({board.title for board in BOARDS}) == len(UIDS)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_a_dashboard_is_read_only_tagged_and_linked_to_the_others(board) -> None:
    [link] = board.model["links"]

    assert board.model["editable"] is False
    assert board.model["tags"] == link["tags"] == ["avatar-relay"]
    assert (link["keepTime"], link["includeVars"]) == (True, True)
    assert [one["name"] for one in board.model["templating"]["list"]] == [
        "datasource", "traces", "job", "instance",
    ]  # fmt: skip


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_panels_fill_each_line_and_do_not_overlap(board) -> None:
    """Every cell of the grid has one panel; ids and titles are unique."""
    parts = board.model["panels"]
    cells = [
        (part["gridPos"]["x"] + column, part["gridPos"]["y"] + line)
        for part in parts
        for column in range(part["gridPos"]["w"])
        for line in range(part["gridPos"]["h"])
    ]

    assert len(cells) == len(set(cells)) == 24 * (max(line for _, line in cells) + 1)
    assert len({part["id"] for part in parts}) == len(parts)
    assert len({panel.title for panel in board.panels}) == len(board.panels)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_panel_has_a_unit_a_description_and_legends(board: SavedBoard) -> None:
    for panel in board.panels:
        assert panel.unit in UNITS, panel.title
        assert panel.description.endswith("."), panel.title
        assert panel.title
        assert all(query.legend for query in panel.queries), panel.title


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_selector_has_the_variables_and_every_window_follows_the_time_shown(board: SavedBoard) -> None:
    """What a rule records has the job alone."""
    for panel in board.panels:
        for query in panel.queries:
            chosen = query.expr.count('job=~"$job",instance=~"$instance"')
            recorded = query.expr.count('{job=~"$job"}')
            windows = set(re.findall(r"\[(.+?)\]", query.expr))
            assert chosen + recorded == query.expr.count("{"), query.expr
            assert bool(recorded) == bool(query.recorded()), query.expr
            assert windows <= {"$__rate_interval", "$__range"}, query.expr


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_exemplars_are_on_for_histograms_of_seconds_and_lead_to_traces(board: SavedBoard) -> None:
    for panel in board.panels:
        shown = {query.exemplar for query in panel.queries}

        assert shown == {bool(panel.links)}, panel.title
        if panel.links:
            assert panel.unit == Unit.SECONDS
            assert all("_bucket" in query.expr for query in panel.queries), panel.title
            assert "${traces}" in panel.links[0]


def test_every_metric_exists() -> None:
    """In the generated page, which has what services register."""
    page = METRICS.read_text("utf-8")
    known = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    missing = {
        name
        for board in BOARDS
        for panel in board.panels
        for query in panel.queries
        for name in query.metrics()
        if _family(name, known) not in known | OF_THE_CLIENT
    }

    assert not missing


def test_every_recording_rule_exists() -> None:
    """The dashboards and the alerts use the same."""
    text = (RULES / "recording.yaml").read_text("utf-8")
    recorded = set(re.findall(r"record: (\S+)", text))
    used = {
        name
        for board in BOARDS
        for panel in board.panels
        for query in panel.queries
        for name in query.recorded()
    }

    assert used
    assert used <= recorded


def test_every_expression_parses(tmp_path) -> None:
    """By Prometheus's own checker."""
    promtool = need(shutil.which("promtool"), "promtool")
    exprs = [query.sent("1m", "1h") for board in BOARDS for panel in board.panels for query in panel.queries]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    file = tmp_path / "panels.json"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")

    checked = subprocess.run(
        [promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(exprs)} rules found" in checked.stdout


def _family(name: str, known: set[str]) -> str:
    """A histogram by the name of one of its series."""
    for suffix in ("_bucket", "_count", "_sum"):
        if name not in known and name.endswith(suffix):
            return name.removesuffix(suffix)
    return name

"""Prometheus rules: their form, the metrics that they name, their runbook and their cases."""

import re

import pytest
from scripts.dashboards.saved import boards
from tests.rigs import rules
from tests.rigs.imports import ROOT
from tests.rigs.metrics_page import rows

from relay_ingest import turn_trace

RUNBOOK_URL = "docs/operations/alerts.md"
"""The base of every ``runbook_url``: who publishes the page elsewhere replaces it."""

NOT_REGISTERED = {
    "up",
    "process_cpu_seconds_total", "process_max_fds", "process_open_fds", "process_resident_memory_bytes",
    "process_start_time_seconds",
}  # fmt: skip
"""Metrics of Prometheus and of its client, which the reference page does not list."""

SCRAPE_LABELS = {"job", "instance", "le"}
"""Labels that every series, or every histogram, has."""

SLOS = {
    "RelaySpeechErrorBudgetBurn": ("job:relay_gateway_turns_interrupted", "0.001"),
    "RelayFirstAudioErrorBudgetBurn": ("job:relay_gateway_first_audio_late", "0.01"),
    "RelayLatencyErrorBudgetBurn": ("job:relay_gateway_latency_late", "0.01"),
}
"""By alert, the recorded share of bad events, and the share that the objective allows."""

BURN_RATES = [
    ("14.4", "1h", "5m", "page"),
    ("6", "6h", "30m", "page"),
    ("3", "1d", "2h", "ticket"),
    ("1", "3d", "6h", "ticket"),
]
"""Burn rate, long window, short window, severity."""

ALERTS = rules.alerts()
EXPRESSIONS = [rule.expr for rule in [*rules.recording_rules(), *ALERTS]]
PAGE = rules.RUNBOOK.read_text("utf-8")
METRICS = {row.name: row for row in rows()}


def family(name: str) -> str:
    """The metric that a series belongs to: a histogram has three."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in METRICS and METRICS[base].kind == "histogram" else name


def named() -> set[str]:
    """Every metric that rules and runbook name."""
    return {family(metric.name) for text in [*EXPRESSIONS, PAGE] for metric in rules.metrics(text)}


def identity(rule: rules.Rule) -> tuple[str, frozenset[tuple[str, str]]]:
    """The labels that identify an alert."""
    return rule.alert, frozenset(rule.labels.items())


# --- form --------------------------------------------------------------------------------------------


def test_recorded_names_are_level_metric_operations() -> None:
    names = [rule.record for rule in rules.recording_rules()]

    assert names
    assert len(set(names)) == len(names)
    assert [name for name in names if rules.recorded(name) != {name}] == []


def test_the_level_of_a_recorded_name_is_what_its_expression_groups_by() -> None:
    """``job_instance:...`` has those labels; a rule over recorded rules has the labels of these."""
    for rule in rules.recording_rules():
        level = set(rule.record.partition(":")[0].split("_"))
        groupings = rules.grouping(rule.expr) - {"le"}
        sources = {label for name in rules.recorded(rule.expr) for label in name.partition(":")[0].split("_")}
        assert groupings | sources == level, rule.record


def test_every_recorded_name_that_is_used_is_recorded() -> None:
    names = {rule.record for rule in rules.recording_rules()}

    assert {name for text in [*EXPRESSIONS, PAGE] for name in rules.recorded(text)} <= names


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.alert)
def test_an_alert_has_what_the_person_on_call_needs(rule) -> None:
    """A name, a duration, a severity, one sentence, one text with the place, and the runbook."""
    assert re.fullmatch(r"Relay([A-Z][a-z]+)+", rule.alert)
    assert re.fullmatch(r"[1-9]\d*[mh]", rule.lasting)
    assert rule.labels["severity"] in {"page", "ticket"}
    assert rule.annotations.keys() == {"summary", "description", "runbook_url"}
    assert re.fullmatch(r"[A-Z].*[^.]", rule.annotations["summary"])
    assert re.fullmatch(r"\S.*\.", rule.annotations["description"])
    assert "{{ $" in rule.annotations["description"] or rule.expr.startswith("absent")
    assert rule.annotations["runbook_url"] == f"{RUNBOOK_URL}#{rule.alert.lower()}"


def test_alerts_of_one_name_differ_in_their_labels() -> None:
    assert len({identity(rule) for rule in ALERTS}) == len(ALERTS)


@pytest.mark.parametrize("alert", SLOS)
def test_an_objective_has_four_burn_rates_with_two_windows_each(alert) -> None:
    share, budget = SLOS[alert]
    found = [rule for rule in ALERTS if rule.alert == alert]

    for rule, (rate, long, short, severity) in zip(found, BURN_RATES, strict=True):
        assert f"{share}:ratio_rate{long} > {rate} * {budget}\n" in rule.expr
        assert f"{share}:ratio_rate{short} > {rate} * {budget}\n" in rule.expr
        assert rule.labels == {"severity": severity, "long": long, "short": short}


# --- metrics -----------------------------------------------------------------------------------------


def test_every_metric_exists() -> None:
    """In the reference page, which is as the code is."""
    assert named() - METRICS.keys() - NOT_REGISTERED == set()


def test_every_series_of_a_histogram_exists() -> None:
    """One with a bucket below 0 has no ``_count`` and no ``_sum``: an expression with them has no value."""
    [lead] = turn_trace.LEAD_SECONDS.collect()
    series = {sample.name for sample in lead.samples}
    cases = [
        given["series"]
        for file in rules.case_files().values()
        for case in file.tests
        for given in case.input_series
    ]
    texts = [*EXPRESSIONS, PAGE, *cases]
    texts += [query.expr for board in boards() for panel in board.panels for query in panel.queries]

    used = {metric.name for text in texts for metric in rules.metrics(text)}
    assert {name for name in used if name.startswith(lead.name)} <= series


def test_every_label_and_every_value_exists() -> None:
    """A matcher with a value that no series has matches nothing, for ever; the same holds for cases."""
    files = rules.case_files().values()
    series = [given["series"] for file in files for case in file.tests for given in case.input_series]
    wrong = []
    for text in [*EXPRESSIONS, PAGE, *series]:
        for metric in rules.metrics(text):
            row = METRICS.get(family(metric.name))
            for label, values in metric.matchers if row else ():
                known = row.labels.get(label, "")
                if label not in {"job", "instance"} and "run time" not in known:
                    wrong += [(metric.name, label, value) for value in values if f"`{value}`" not in known]

    assert wrong == []


def test_expressions_need_no_labels_but_those_of_the_scrape_and_of_their_metrics() -> None:
    own = {label for row in METRICS.values() for label in row.labels}

    for text in EXPRESSIONS:
        assert rules.grouping(text) <= SCRAPE_LABELS | own, text


# --- runbook -----------------------------------------------------------------------------------------


def test_every_alert_has_a_section_of_the_runbook_and_no_section_is_left_over() -> None:
    assert list(rules.sections(PAGE)) == list(dict.fromkeys(rule.alert for rule in ALERTS))


@pytest.mark.parametrize("alert", list(dict.fromkeys(rule.alert for rule in ALERTS)))
def test_a_section_has_meaning_confirmation_action_and_what_it_is_not(alert) -> None:
    section = rules.sections(PAGE)[alert]

    assert re.findall(r"^- \*\*(.+?)\*\*: \S", section, re.MULTILINE) == [
        "Means",
        "Confirm",
        "Do",
        "Usually not",
    ]


def test_log_lines_of_the_runbook_exist() -> None:
    sources = "".join(
        path.read_text("utf-8")
        for folder in ("services", "shared")
        for path in sorted((ROOT / folder).rglob("*.py"))
    )
    lines = {
        line
        for span in re.findall(r"log lines? (`[^`]+`(?: and `[^`]+`)*)", PAGE)
        for line in re.findall(r"`([^`]+)`", span)
    }

    assert lines
    assert [line for line in sorted(lines) if f'"{line}"' not in sources] == []


# --- cases -------------------------------------------------------------------------------------------


def test_every_alert_has_a_case_that_fires() -> None:
    fired = [
        (expectation.alertname, expected.labels)
        for file in rules.case_files().values()
        for case in file.tests
        for expectation in case.expectations
        for expected in expectation.alerts
    ]
    for rule in ALERTS:
        assert any(name == rule.alert and rule.labels.items() <= labels.items() for name, labels in fired), (
            rule
        )


def test_every_alert_has_a_case_that_stays_silent() -> None:
    """Silence is that of all alerts of the name."""
    silent = {
        expectation.alertname
        for file in rules.case_files().values()
        for case in file.tests
        for expectation in case.expectations
        if not expectation.alerts
    }
    assert silent == {rule.alert for rule in ALERTS}


def test_cases_evaluate_recording_rules_first() -> None:
    """Without an order promtool chooses any, and an alert would see values of the step before."""
    order = [group.name for group in rules.groups()]

    assert {path.name for path, file in rules.case_files().items() if file.group_eval_order != order} == set()

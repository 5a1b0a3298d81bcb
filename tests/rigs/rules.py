"""Prometheus rules, the runbook and promtool's cases, as data."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from tests.rigs.imports import ROOT

RULES = ROOT / "helm" / "avatar-relay" / "files" / "rules"
CASES = ROOT / "tests" / "contract" / "rules"
RUNBOOK = ROOT / "docs" / "operations" / "alerts.md"

_RECORDED = re.compile(r"\b[a-z_]+:relay_[a-z_]+:[a-z0-9_]+")
_METRIC = re.compile(r"(?<![\w:])(relay_[a-z_]+|process_[a-z_]+|up)\b(?:\s*\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recording rule or an alert."""

    expr: str
    record: str = ""
    alert: str = ""
    lasting: str = msgspec.field(name="for", default="")
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules that are evaluated one after the other."""

    name: str
    rules: list[Rule]
    interval: str = ""


class _RuleFile(msgspec.Struct, forbid_unknown_fields=True):
    groups: list[Group]


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """An alert that must fire."""

    labels: dict[str, str] = msgspec.field(name="exp_labels")
    annotations: dict[str, str] = msgspec.field(name="exp_annotations")


class Expectation(msgspec.Struct, forbid_unknown_fields=True):
    """The alerts of one name at one time: exactly these."""

    alertname: str
    eval_time: str
    alerts: list[Expected] = msgspec.field(name="exp_alerts")


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One test of promtool's."""

    name: str
    interval: str
    input_series: list[dict[str, str]]
    expectations: list[Expectation] = msgspec.field(name="alert_rule_test")


class CaseFile(msgspec.Struct, forbid_unknown_fields=True):
    """A file for ``promtool test rules``."""

    rule_files: list[str]
    evaluation_interval: str
    group_eval_order: list[str]
    tests: list[Case]


class Metric(msgspec.Struct, frozen=True):
    """A metric in an expression, with the values that its matchers name."""

    name: str
    matchers: tuple[tuple[str, tuple[str, ...]], ...]


def groups() -> list[Group]:
    """The groups of all rules, recording rules first."""
    files = [RULES / "recording.yaml", RULES / "alerts.yaml"]
    return [
        group for file in files for group in msgspec.yaml.decode(file.read_bytes(), type=_RuleFile).groups
    ]


def recording_rules() -> list[Rule]:
    """All recording rules."""
    return [rule for group in groups() for rule in group.rules if rule.record]


def alerts() -> list[Rule]:
    """All alerts; some share a name and differ in their labels."""
    return [rule for group in groups() for rule in group.rules if rule.alert]


def case_files() -> dict[Path, CaseFile]:
    """The files for promtool."""
    return {
        path: msgspec.yaml.decode(path.read_bytes(), type=CaseFile) for path in sorted(CASES.glob("*.yaml"))
    }


def recorded(text: str) -> set[str]:
    """The names of recording rules in a text."""
    return set(_RECORDED.findall(text))


def metrics(text: str) -> Iterator[Metric]:
    """The metrics in an expression or in prose; recorded names are no metrics."""
    for name, matchers in _METRIC.findall(_RECORDED.sub("", text)):
        pairs = ((label, tuple(values.split("|"))) for label, values in _MATCHER.findall(matchers))
        yield Metric(name, tuple(pairs))


def grouping(text: str) -> set[str]:
    """The labels by which an expression groups or joins."""
    return {
        label.strip() for labels in _GROUPING.findall(text) for label in labels.split(",") if label.strip()
    }


def sections(page: str) -> dict[str, str]:
    """By alert, the text of its section of the runbook."""
    parts = re.split(r"^### (Relay\w+)\n", page, flags=re.MULTILINE)
    return {
        name: re.split(r"^## ", text, flags=re.MULTILINE)[0]
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }

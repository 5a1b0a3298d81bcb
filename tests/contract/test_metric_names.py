"""Names of metrics, by the conventions of Prometheus. Dashboards and alerts rely on them."""

import re

import pytest
from tests.rigs.metrics_page import Row, rows

EXCEPTIONS = {
    "relay_ready": "of the whole process, so it has no subsystem",
    "relay_draining": "of the whole process, as relay_ready",
    "relay_redis_command_seconds": "seconds of one command, whose name is the label",
    "relay_gateway_catching_up": "counts viewers, as relay_gateway_viewers does",
    "relay_ingest_capacity": "a limit of relay_ingest_conversations, in the same unit",
    "relay_token_keys_unusable": "counts files, beside relay_token_keys",
}
"""By name, why a metric has the wrong form."""

RUN_TIME_LABELS = {"client", "command", "consumer"}
"""Labels whose values are known at run time only: names that the code gives, a few for each process."""

UNITS = ("seconds", "bytes", "ratio")
OTHER_UNITS = {"ms", "milliseconds", "minutes", "hours", "percent", "kb", "kib", "mb", "mib", "bits", "count"}
IDENTIFIERS = {"conversation", "viewer", "user", "address", "ip", "id", "token", "turn", "req_id", "name"}


def faults(row: Row) -> list[str]:
    """What is wrong with a metric's name and labels."""
    words = row.name.split("_")
    quantity = words[:-1] if row.kind in {"counter", "info"} else words
    rules = {
        "relay_<subsystem>_<quantity>": re.fullmatch(r"relay(_[a-z]+){2,}", row.name),
        "_total is for counters": (words[-1] == "total") == (row.kind == "counter"),
        "_info is for infos": (words[-1] == "info") == (row.kind == "info"),
        "one base unit, at the end": not set(UNITS) & set(quantity[:-1]) and not OTHER_UNITS & set(words),
        "a histogram has a unit": row.kind != "histogram" or quantity[-1] in UNITS,
        "a gauge has a unit, or counts things, or is 0 or 1": row.kind != "gauge"
        or quantity[-1] in UNITS
        or quantity[-1].endswith("s")
        or row.meaning.startswith("Whether "),
        "no label's name in the name": not row.labels.keys() & set(words),
        "labels in snake case": all(re.fullmatch(r"[a-z]+(_[a-z]+)*", label) for label in row.labels),
        "no identifiers in labels": not row.labels.keys() & IDENTIFIERS,
        "labels have known values": row.kind == "info"
        or all("run time" not in text or label in RUN_TIME_LABELS for label, text in row.labels.items()),
    }
    return [rule for rule, holds in rules.items() if not holds]


def test_every_metric_is_well_formed() -> None:
    wrong = {row.name: faults(row) for row in rows() if faults(row)}

    assert rows()
    assert wrong.keys() == EXCEPTIONS.keys(), wrong
    assert all(len(broken) == 1 for broken in wrong.values()), wrong


@pytest.mark.parametrize(
    "row",
    [
        Row("viewers", "gauge", {}, ""),
        Row("relay_viewers", "gauge", {}, ""),
        Row("relay_gateway_viewers_total", "gauge", {}, ""),
        Row("relay_gateway_frames", "counter", {}, ""),
        Row("relay_gateway_wait_ms", "gauge", {}, ""),
        Row("relay_gateway_seconds_behind_total", "counter", {}, ""),
        Row("relay_gateway_replay", "histogram", {}, ""),
        Row("relay_gateway_load", "gauge", {}, "How much."),
        Row("relay_gateway_closes_reason_total", "counter", {"reason": "`a`"}, ""),
        Row("relay_gateway_closes_total", "counter", {"closeCode": "`a`"}, ""),
        Row("relay_gateway_frames_total", "counter", {"conversation": "`a`"}, ""),
        Row("relay_gateway_frames_total", "counter", {"agent": "*named at run time*"}, ""),
    ],
)
def test_a_name_of_the_wrong_form_is_found(row) -> None:
    assert faults(row)

"""Settings: every variable is one that the relay reads, none is blank, and no secret is in the open."""

import re
from functools import cache
from urllib.parse import urlsplit

import pytest
from tests.chart.charts import CI_FILES, kinds, name_of, render, variables, workloads
from tests.rigs.imports import ROOT

OTHERS = {"RELAY_CONTROL_URL", "SSL_CERT_FILE", "GOMAXPROCS"}
"""Variables of `avatar-relay verify`, and one that a file of ci/ adds."""
OPEN_IN_THE_DEMO = {"SPATIUS_API_KEY": "simulated-key"}
"""The simulator has no secrets."""


@cache
def documented() -> dict[str, str]:
    """Every variable of the reference, with the kind of its value."""
    page = (ROOT / "docs/reference/configuration.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[A-Z][A-Z0-9_`, ]+`) \| ([^|]*)\|", page, re.MULTILINE)
    return {name: kind for names, kind in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", names)}


def test_the_reference_is_read() -> None:
    """With the settings of each service, secrets among them."""
    assert {"RELAY_GATEWAY_PORT", "SPATIUS_APP_ID", "RELAY_REDIS_URL"} <= documented().keys()
    assert "secret" in documented()["RELAY_TOKEN_SECRET"]
    assert "secret" in documented()["RELAY_API_KEYS"]


@pytest.mark.parametrize("ci", CI_FILES)
def test_every_variable_is_one_that_the_relay_reads(ci: str) -> None:
    """A name with an error would be ignored, with a warning that nobody reads; each is set once."""
    for pod in workloads(render(ci=ci)):
        for container in pod.containers:
            names = [entry["name"] for entry in container.get("env", [])]
            unknown = set(names) - documented().keys() - OTHERS
            assert not unknown, name_of(pod.owner)
            assert len(names) == len(set(names)), name_of(pod.owner)


@pytest.mark.parametrize("ci", CI_FILES)
def test_no_variable_is_blank(ci: str) -> None:
    """A blank value renders no variable, so that the service's default holds."""
    for pod in workloads(render(ci=ci)):
        for container in pod.containers:
            blank = [name for name, value in variables(container).items() if not str(value).strip()]
            assert blank == [], name_of(pod.owner)


@pytest.mark.parametrize("ci", CI_FILES)
def test_variables_are_text(ci: str) -> None:
    """A number would be refused by Kubernetes, and a large one written as 1.6777216e+07."""
    for pod in workloads(render(ci=ci)):
        for container in pod.containers:
            for name, value in variables(container).items():
                assert isinstance(value, str), name
                assert not re.fullmatch(r"[\d.]+e\+?\d+", value), name


def test_numbers_keep_their_digits() -> None:
    """However large: helm reads numbers of values as floating point."""
    values = {
        "settings": {"RELAY_RETENTION_BYTES": 134217728, "RELAY_LEASE_MS": 2500, "RELAY_HEARTBEAT_S": 12.5}
    }
    for pod in workloads(render(values, ci="production")):
        for container in pod.containers:
            if pod.component == "ingest":
                found = variables(container)
                assert found["RELAY_RETENTION_BYTES"] == "134217728"
                assert found["RELAY_LEASE_MS"] == "2500"
                assert found["RELAY_HEARTBEAT_S"] == "12.5"


@pytest.mark.parametrize("ci", CI_FILES)
def test_no_secret_is_a_literal(ci: str) -> None:
    """Neither as a variable nor in a ConfigMap; an address of Redis has no password."""
    objects = render(ci=ci)
    simulated = any(pod.component == "simulator" for pod in workloads(objects))
    demo = OPEN_IN_THE_DEMO if simulated else {}
    for pod in workloads(objects):
        for container in pod.containers:
            for name, value in variables(container).items():
                where = f"{name_of(pod.owner)} {name}"
                assert not urlsplit(value).password, where
                if "secret" in documented().get(name, "") and "://" not in value:
                    assert demo.get(name) == value, where
    for config in kinds(objects, "ConfigMap"):
        assert not re.search(r"://[^/\s:@]+:[^/\s@]+@", str(config["data"])), name_of(config)


def test_a_component_overrides_what_all_have() -> None:
    """Its settings come before those of all components, and both before what the chart computes."""
    values = {
        "settings": {"RELAY_LOG_LEVEL": "warning"},
        "ingest": {"settings": {"RELAY_LOG_LEVEL": "debug"}},
    }
    levels = {
        pod.component: variables(container)["RELAY_LOG_LEVEL"]
        for pod in workloads(render(values, ci="production"))
        for container in pod.containers
        if pod.component in ("gateway", "control", "ingest")
    }
    assert levels == {"gateway": "warning", "control": "warning", "ingest": "debug"}


@pytest.mark.parametrize("blank", ["", None])
def test_a_blank_setting_renders_no_variable(blank: str | None) -> None:
    """So that a value can be taken back."""
    values = {"settings": {"RELAY_LOG_LEVEL": blank}}
    for pod in workloads(render(values, ci="production")):
        for container in pod.containers:
            assert "RELAY_LOG_LEVEL" not in variables(container)

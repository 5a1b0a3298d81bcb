"""Every file of values in ci/ renders, is linted, and renders to the same text again."""

import re

import pytest
from tests.chart.charts import CHART, CI_FILES, kinds, name_of, render, text

LONGEST = "a-release-whose-name-is-as-long-as-helm-allows-it-to-be"[:53].rstrip("-")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@pytest.mark.parametrize("ci", CI_FILES)
def test_every_feature_renders_and_is_linted(ci: str) -> None:
    """Without a warning of helm's own linter, but for the icon, which a chart need not have."""
    assert kinds(render(ci=ci), "Deployment")
    printed = text(["lint", str(CHART), "--strict"], ci)
    complaints = [line for line in printed.splitlines() if re.match(r"\[(WARNING|ERROR)\]", line)]
    assert complaints == []


@pytest.mark.parametrize("ci", CI_FILES)
def test_two_renders_are_equal(ci: str) -> None:
    """An upgrade that changes nothing replaces no pod; the demo's keys are made anew without a cluster."""
    first = render(ci=ci)
    if any(found["kind"] == "Secret" for found in first):
        kept = {"auth": {"existingSecret": "keys"}, "tests": {"existingSecret": "keys"}}
        assert render(kept | {"podLabels": {}}, ci=ci) == render(kept, ci=ci)
    else:
        assert render({"podLabels": {}}, ci=ci) == first  # other values that mean the same: rendered anew


@pytest.mark.parametrize("ci", CI_FILES)
@pytest.mark.parametrize("release", ["relay", LONGEST])
def test_names_and_labels_have_valid_lengths(ci: str, release: str) -> None:
    """At most 63 characters, however long the release's name, and no two objects of a kind have the same."""
    seen: set[tuple[str, str, str]] = set()
    for found in render(ci=ci, release=release):
        metadata = found["metadata"]
        key = (found["kind"], metadata.get("namespace", ""), metadata["name"])
        assert key not in seen, key
        seen.add(key)
        assert len(metadata["name"]) <= 63, name_of(found)
        assert _NAME.fullmatch(metadata["name"]), name_of(found)
        assert all(len(str(value)) <= 63 for value in metadata.get("labels", {}).values()), name_of(found)


@pytest.mark.parametrize("ci", CI_FILES)
def test_every_object_belongs_to_the_release(ci: str) -> None:
    """By its labels, which kubectl and dashboards select by, and its namespace, which helm template needs."""
    for found in render(ci=ci):
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "relay", name_of(found)
        assert labels["app.kubernetes.io/managed-by"] == "Helm", name_of(found)
        assert labels["helm.sh/chart"].startswith("avatar-relay-"), name_of(found)
        assert found["metadata"]["namespace"] == "space", name_of(found)

"""The generated reference pages: complete, and as the code is."""

import pytest
from scripts.generated import outdated
from scripts.reference import configuration, metrics, pages
from scripts.reference.markdown import row
from tests.rigs.metrics import SERVICES as PACKAGES
from tests.rigs.metrics import labelled_counters

from relay_settings import unused
from relay_settings.base import SettingsError
from relay_settings.catalogue import SERVICES

VALUES = {
    "RELAY_API_KEYS": f"app:{'0' * 64}:speak",
    "RELAY_TOKEN_SECRET": "s" * 32,
    "RELAY_TOKEN_KEYS_DIR": "/nowhere",
    "SPATIUS_API_KEY": "key",
    "SPATIUS_APP_ID": "app",
}


def rows(page: str) -> dict[str, list[str]]:
    """By their first cell without backticks, the rows of a page in the tree."""
    found: dict[str, list[str]] = {}
    for line in (pages.FOLDER / page).read_text("utf-8").splitlines():
        if line.startswith("| `"):
            found.setdefault(line.split("`")[1], []).append(line)
    return found


def test_the_page_of_settings_matches_the_code() -> None:
    assert not outdated(pages.FOLDER, {"configuration.md": configuration.page()}), "run make reference"


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_has_one_row(service) -> None:
    """A mixin's settings stand in its section, once for all services; no service changes one of them."""
    found = rows("configuration.md")

    for name in SERVICES[service].model_fields:
        assert len(found[SERVICES[service].variable(name)]) == 1, name


def test_variables_of_commands_have_a_row() -> None:
    assert rows("configuration.md").keys() >= unused._OF_COMMANDS


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_loads_with_what_it_needs_and_not_with_less(service, monkeypatch) -> None:
    needed = configuration.NEEDED[service]
    for variable in VALUES:
        monkeypatch.delenv(variable, raising=False)
    for choice in range(max(map(len, needed), default=1)):
        given = {(names[choice:] or names)[0] for names in needed}

        SERVICES[service].load(**{variable: VALUES[variable] for variable in given})

        for missing in given:
            with pytest.raises(SettingsError):
                SERVICES[service].load(**{variable: VALUES[variable] for variable in given - {missing}})


def test_every_secret_is_marked() -> None:
    found = rows("configuration.md")
    for service in SERVICES.values():
        for variable in map(service.variable, service.secrets()):
            assert "secret" in found[variable][0].split("|")[2], variable


def test_every_metric_has_the_row_of_the_code() -> None:
    """Also those of modules that a service loads late. A test with processes checks the services."""
    for package in PACKAGES:
        labelled_counters(package)
    found = rows("metrics.md")
    expected = {metric.name: row(metrics.cells(metric)) for metric in metrics.registered()}

    # Values that are known at run time only may be in this process already.
    wrong = [
        name
        for name, line in expected.items()
        if len(found.get(name, ())) != 1 or (found[name] != [line] and "at run time" not in found[name][0])
    ]

    assert expected
    assert not wrong, "run make reference"


def test_a_metric_stands_once_under_the_services_that_have_it() -> None:
    shared = metrics.Metric("relay_a_things_total", "counter", {"kind": ["x"], "link": []}, "`a|b` | <all>.")
    own = metrics.Metric("relay_b_bytes", "gauge", {}, "Bytes.")

    text = metrics.page({"gateway": [shared, own], "control": [shared]})

    assert text[text.index("## ") :] == (
        "## Control, gateway\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n"
        r"| `relay_a_things_total` | counter | `kind`: `x`; `link`: *named at run time* | `a\|b` \| \<all>. |"
        "\n\n## Gateway\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n"
        "| `relay_b_bytes` | gauge |  | Bytes. |\n"
    )

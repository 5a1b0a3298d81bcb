"""The pages for operators: close codes, lines of logging, the faults behind disasters, the model's sizes."""

import ast
import re
from collections.abc import Iterator

import pytest
from tests.rigs.imports import ROOT

from relay_auth.api_keys import Scope, new_key
from relay_cli.capacity import MEASURED, Demand, plan
from relay_control.audio_websocket import AudioSocketLimits
from relay_gateway import admission
from relay_settings.control import ControlSettings
from relay_settings.gateway import GatewaySettings
from relay_wire import close_codes

LEVELS = ("warning", "error", "exception", "critical")
COMPUTED = {
    "_WARNINGS[forwarding]": tuple(admission._WARNINGS.values()),
    "sentence": (),  # variables without an effect, one sentence each
}
"""Lines whose event is not a constant where it is logged, by the expression."""


def page(name: str) -> str:
    return (ROOT / "docs" / "operations" / f"{name}.md").read_text("utf-8")


def section(name: str, title: str) -> str:
    """The text below a heading of the second level."""
    return page(name).split(f"\n## {title}\n")[1].split("\n## ")[0]


def lines() -> Iterator[str]:
    """The events that the sources log at these levels."""
    for path in [*ROOT.glob("shared/relay_*/**/*.py"), *ROOT.glob("services/*/relay_*/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(ast.Attribute(logger, level), [event, *_]) if level in LEVELS:
                    if ast.unparse(logger).rpartition(".")[2] in ("log", "_log", "logger"):
                        yield from texts(event)


def texts(event: ast.expr) -> tuple[str, ...]:
    if isinstance(event, ast.Constant):
        return (str(event.value),)
    assert ast.unparse(event) in COMPUTED, f"{ast.unparse(event)}: name its texts in COMPUTED"
    return COMPUTED[ast.unparse(event)]


def heartbeats() -> list[float]:
    """The intervals of pings to viewers and to speakers, by default."""
    gateway = float(GatewaySettings.model_fields["heartbeat_s"].default)
    control = ControlSettings.load(RELAY_TOKEN_SECRET="k" * 40, RELAY_API_KEYS=str(new_key([Scope.ADMIN])[1]))
    return [gateway, AudioSocketLimits.of(control).heartbeat_s]


@pytest.mark.parametrize(
    ("name", "time_out"),
    [
        ("nginx", r"^ +proxy_(?:read|send)_timeout +(\d+)s;$"),
        ("proxies", r"^\| [^|]+ \| (\d+) s[^|]* \| [^|]+ \| [^|]+ \| \d[^|]* \|$"),
    ],
)
def test_pings_are_more_frequent_than_a_documented_proxy_needs(name: str, time_out: str) -> None:
    """Two fit into each idle time-out, so that one late ping closes nothing."""
    seconds = [int(found) for found in re.findall(time_out, page(name), re.MULTILINE)]

    assert len(seconds) >= 2
    assert 2 * max(heartbeats()) <= min(seconds)


def test_every_warning_and_error_is_explained() -> None:
    """With its own row in troubleshooting.md, and without rows of lines that nothing writes any more."""
    text = section("troubleshooting", "By log line")
    explained = re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE)

    assert sorted(explained) == sorted(set(lines()))


@pytest.mark.parametrize("code", close_codes.REGISTRY.values(), ids=lambda code: code.name)
def test_every_close_code_is_explained(code: close_codes.CloseCode) -> None:
    """By its number and name."""
    text = section("troubleshooting", "By close code")

    assert text.count(f"\n| {code.code} | {code.name} |") == 1


def test_disasters_are_shown_by_faults_that_are_run() -> None:
    """Those of the table in guarantees.md; every disaster of the table has its section."""
    text = page("disasters")
    named = {
        name
        for row in re.findall(r"^\| \[.*\| (.+) \|$", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    run = set(
        re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/design/guarantees.md").read_text("utf-8"), re.MULTILINE)
    )

    assert named
    assert named <= run
    assert re.findall(r"^\| \[(.+?)\]\(#", text, re.MULTILINE) == re.findall(r"^## (.+)$", text, re.MULTILINE)


def test_the_usual_sizes_are_those_of_the_model() -> None:
    """Rounded as they are written."""
    for row in re.findall(r"^\| ([\d,]+) \| (.+) \|$", section("sizing", "Usual sizes"), re.MULTILINE):
        found = plan(Demand(int(row[0].replace(",", "")), viewers=2, speaking=0.4), MEASURED)
        processes = (found.gateway, found.ingest, found.control, found.redis)
        assert row[1].split(" | ") == [
            *(str(each.processes) for each in processes),
            f"{found.cores:.1f}",
            f"{found.retained_bytes / 1e9:.1f}",
            f"{found.network_mbit_per_s:,.0f}",
        ]

"""The command, as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.run", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


def test_the_last_line_is_one_object() -> None:
    """With everything a script reads; nothing is lost on the way."""
    done = bench(
        *("--scenario", "steady", "--quick", "--json"),
        *("--conversations", "5", "--rate", "100", "--seconds", "0.5"),
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])

    assert figures["scenario"] == "steady"
    assert {"floor_us", "gateway_us", "ratio_to_floor", "redis_us"} <= figures.keys()
    assert 0 < figures["relay_latency_ms"]["p50"] <= figures["relay_latency_ms"]["p99"]
    assert figures["notes"] == []


def test_the_line_through_rising_rates(tmp_path: Path) -> None:
    """Each process has one, of the rates that were carried; and they are drawn."""
    done = bench(
        *("--scenario", "load", "--quick", "--json", "--plot", str(tmp_path / "out.svg")),
        *("--conversations", "5", "--rate", "200", "--seconds", "0.5"),
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])

    for name in ("gateway", "redis", "publisher"):
        assert len(figures[f"{name}_cores"]) == 4
        assert figures[f"{name}_line"].keys() == {"fixed_cores", "us_per_frame", "r2"}
    assert figures["gateway_us"] > 0
    assert "<svg" in (tmp_path / "out.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scenario", "nonsense"), "choose one of steady"),
        (("--peer", "nonsense"), "choose one of socketio"),
        (("--scenario", "storm", "--peer", "demo"), "the relay alone"),
    ],
)
def test_what_cannot_be_run_is_refused(arguments: tuple[str, ...], message: str) -> None:
    """With what can."""
    done = bench(*arguments)

    assert done.returncode != 0
    assert message in " ".join(done.stderr.split())


def test_the_list_names_scenarios_and_peers() -> None:
    """All of them."""
    listed = bench("--list").stdout

    for name in (
        "steady",
        "burst",
        "fanout",
        "idle",
        "storm",
        "ingest",
        "avatarkit",
        "scale",
        "load",
        "socketio",
        "centrifugo",
        "demo",
    ):
        assert name in listed

"""The command: where its targets come from, one view for scripts, and the live view."""

import asyncio
import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from tests.rigs.eventually import eventually

from relay_cli.top.command import print_once, run_top, sources
from relay_cli.top.targets import Sources, TargetError, target


def clear(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name in ("RELAY_TOP_TARGETS", "RELAY_ADMIN_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_options_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clear(monkeypatch, RELAY_TOP_TARGETS="a:1 b:2", RELAY_ADMIN_PORT="9090")

    assert [found.name for found in sources(["c:3"], [], []).fixed] == ["c:3"]
    assert sources([], [Path("f")], []).files == (Path("f"),)
    assert [found.name for found in sources([], [], ["d:4"]).names] == ["d:4"]
    assert [found.name for found in sources([], [], []).fixed] == ["a:1", "b:2"]


def test_the_admin_port_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a port of this machine; 0 is none."""
    clear(monkeypatch, RELAY_ADMIN_PORT="9090")
    assert [found.name for found in sources([], [], []).fixed] == ["127.0.0.1:9090"]

    for values in ({}, {"RELAY_ADMIN_PORT": "0"}):
        clear(monkeypatch, **values)
        with pytest.raises(TargetError, match="--target URL"):
            sources([], [], [])


AWAY = Sources((target("127.0.0.1:1"),))


async def test_one_view(capsys: pytest.CaptureFixture[str], tmp_path: Path, no_blocking) -> None:
    """As tables, a picture or one JSON object; it is false when something is critical."""
    no_blocking.deactivate()  # a command may write its file
    screen = StringIO()
    console = Console(file=screen, width=160)
    fine = await print_once(AWAY, console, interval_s=0.1, sample_rate=16000, svg=tmp_path / "svg")
    await print_once(AWAY, console, interval_s=0.1, sample_rate=16000, as_json=True)
    found = json.loads(capsys.readouterr().out)

    assert not fine
    assert "Connection&#160;refused" in (tmp_path / "svg").read_text()
    assert "font-face" not in (tmp_path / "svg").read_text()
    assert "Connection refused" in screen.getvalue()
    assert found["problems"][0]["severity"] == "critical"
    assert found["processes"][0]["state"] == "away"
    assert found["conversations"]["owned"] is None


async def test_a_live_view_until_it_is_cancelled(no_blocking) -> None:
    """The terminal has its former content back, and its cursor."""
    no_blocking.deactivate()  # the screen is drawn under a lock
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=160, height=40)
    view = asyncio.create_task(run_top(AWAY, console, interval_s=0.05, window_s=1.0, sample_rate=16000))
    await eventually(lambda: screen.getvalue().count("avatar-relay top") > 2)
    view.cancel()
    with pytest.raises(asyncio.CancelledError):
        await view

    assert "Connection refused" in screen.getvalue()
    assert screen.getvalue().rstrip().endswith("\x1b[?25h") or "\x1b[?1049l" in screen.getvalue()

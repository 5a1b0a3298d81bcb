"""Logs: what a line must not show."""

import json
import logging

import pytest
import structlog

from relay_telemetry import logs


@pytest.mark.parametrize("style", ["json", "console"])
def test_tracebacks_show_no_values(style, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it failed, in which code; not the keys and tokens that the code had in its hands."""
    root, configured = logging.getLogger(), structlog.get_config()
    before = root.handlers, root.level
    logs.configure("test", level="debug", style=style)
    try:
        _fail("planted-" + "secret")
    except RuntimeError:
        structlog.get_logger(__name__).exception("failed")
    finally:
        root.handlers, level = before
        root.setLevel(level)
        structlog.configure(**configured)

    shown = capsys.readouterr().err
    assert "RuntimeError" in shown
    assert "test_logs.py" in shown
    assert "planted-secret" not in shown
    if style == "json":
        assert json.loads(shown)["exception"][0]["exc_type"] == "RuntimeError"


def _fail(presented: str) -> None:
    raise RuntimeError(len(presented))

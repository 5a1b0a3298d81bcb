"""Logs: what a line must not show."""

import json

import pytest
import structlog


@pytest.mark.parametrize("style", ["json", "console"])
def test_tracebacks_show_no_values(as_a_service, style, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it failed, in which code; not the keys and tokens that the code had in its hands."""
    as_a_service(style)
    try:
        _fail("planted-" + "secret")
    except RuntimeError:
        structlog.get_logger(__name__).exception("failed")

    shown = capsys.readouterr().err
    assert "RuntimeError" in shown
    assert "test_logs.py" in shown
    assert "planted-secret" not in shown
    if style == "json":
        assert json.loads(shown)["exception"][0]["exc_type"] == "RuntimeError"


def _fail(presented: str) -> None:
    raise RuntimeError(len(presented))

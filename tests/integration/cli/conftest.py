"""The command line in this process."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def errors_alone_are_logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As the command line does it, but for one test."""
    monkeypatch.setattr("relay_telemetry.logs.configure", lambda *_, **__: None)
    configured = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**configured)

"""Parts that a machine may lack."""

import os

import pytest


def need(part: str | None, name: str) -> str:
    """A real part: missing it skips on a laptop and fails in CI."""
    if part is None:
        message = f"{name} is missing"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return part

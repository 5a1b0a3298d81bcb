"""A folder of keys that is read on every use."""

import pytest

from relay_auth import key_ring


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is read on every use."""
    monkeypatch.setattr(key_ring, "REFRESH_S", 0)
    monkeypatch.setattr(key_ring, "UNKNOWN_KID_REFRESH_S", 0)

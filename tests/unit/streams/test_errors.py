"""The errors of the store are one tree: who handles its root handles all of them."""

import inspect

from relay_redis import errors as client_errors
from relay_redis.errors import StoreError
from relay_streams import errors, uplink


def test_every_error_has_the_root() -> None:
    """Also those of speech; only what can pass by itself asks to be repeated."""
    raised = [
        found
        for module in (client_errors, errors, uplink)
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Exception) and found.__module__ == module.__name__
    ]

    assert [found for found in raised if not issubclass(found, StoreError)] == []
    assert {found.__name__ for found in raised if getattr(found, "retryable", False)} == {
        "Unavailable",
        "UplinkFull",
        "Unreplicated",
    }

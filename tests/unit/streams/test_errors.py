"""The errors of the store are one tree: who handles its root handles all of them."""

import inspect

from relay_redis import errors as client_errors
from relay_redis.errors import StoreError
from relay_streams import errors
from relay_streams.errors import UplinkRejected


def test_every_error_has_the_root() -> None:
    """Also those of speech; only what can pass by itself asks to be repeated."""
    raised = [
        found
        for module in (client_errors, errors)
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Exception) and found.__module__ == module.__name__
    ]

    assert [found for found in raised if not issubclass(found, StoreError)] == []
    assert {found.__name__ for found in raised if getattr(found, "retryable", False)} == {
        "Unavailable",
        "UplinkFull",
        "Unreplicated",
    }


def test_each_reason_of_the_uplink_has_its_code() -> None:
    """What answers a sender looks the reason up, so that no two share a code."""
    leaves = UplinkRejected.__subclasses__()

    assert sorted(leaf.code for leaf in leaves) == ["busy", "closed", "full", "gap", "lost", "mismatch"]


def test_the_text_of_a_rejection() -> None:
    """The turn it concerns, and how much of it is appended."""
    gap, lost = errors.OffsetGap(3, 640), errors.AudioLost(3, 64)

    assert (gap.turn, gap.offset, str(gap)) == (3, 640, "the turn has 640 bytes")
    assert (lost.turn, lost.offset) == (3, 64)
    assert (errors.UplinkFull().turn, errors.UplinkFull().offset) == (0, 0)

"""Billing: credits by the vendor's rule."""

import pytest

from relay_wire.billing import credits_of


@pytest.mark.parametrize(
    ("seconds", "billed"), [(0.0, 1), (0.2, 1), (6.0, 1), (6.001, 2), (20.0, 4), (220.0, 37)]
)
def test_credits(seconds: float, billed: int) -> None:
    """Two of these are the vendor's own examples."""
    assert credits_of(seconds) == billed

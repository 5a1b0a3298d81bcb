"""Billing: what the vendor bills for Motion sessions."""

import math

_MS_PER_CREDIT = 6000


def credits_of(session_s: float) -> int:
    """The credits of a session that was connected for so long: one for each 6 s begun, one at least."""
    return max(1, math.ceil(round(session_s * 1000) / _MS_PER_CREDIT))

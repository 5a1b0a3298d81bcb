"""Numbers: JSON's, as clients of all languages write them. Some have no integers: ``1.0`` is 1 there."""

import math

Number = int | float
"""The type of a message's field for a whole number."""

MAX_U32 = 2**32 - 1


def whole(value: Number, *, most: int = MAX_U32) -> int:
    """A count or a numeric name as an integer: not negative, and whole however it is written.

    Raises:
        ValueError: It is a fraction, or out of range. The text does not repeat it, since it may be long.
    """
    if not 0 <= value <= most or value != math.floor(value):
        raise ValueError(f"expected a whole number from 0 to {most}")
    return int(value)


def nearest(value: Number, *, most: int = MAX_U32) -> int:
    """A quantity: rounded, and kept between 0 and ``most``."""
    return round(min(max(value, 0), most))

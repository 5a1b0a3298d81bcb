"""Numbers: the series of fast counters. The module is compiled, so that adding costs as little as it can."""


class Number:
    """The number of one series."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

"""Viewer time: for how long how many viewers watched a conversation, summed. Pure, without a clock."""


class ViewerTime:
    """The time of one conversation's viewers that is not reported yet.

    Args:
        now: The time, in seconds, as all of them.
    """

    __slots__ = ("_seconds", "_since", "_viewers")

    def __init__(self, now: float) -> None:
        self._viewers = 0
        self._since = now
        self._seconds = 0.0

    def change(self, viewers: int, now: float) -> None:
        """Note how many viewers watch from now on."""
        self._seconds += self._viewers * (now - self._since)
        self._viewers, self._since = viewers, now

    def collect(self, now: float) -> int:
        """The time up to now in whole milliseconds, which then counts as reported."""
        self.change(self._viewers, now)
        milliseconds = int(self._seconds * 1000)
        self._seconds -= milliseconds / 1000
        return milliseconds

    def put_back(self, milliseconds: int) -> None:
        """Undo ``collect``: the report failed."""
        self._seconds += milliseconds / 1000

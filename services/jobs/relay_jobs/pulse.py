"""The pulse: whether a worker makes progress, judged by the tasks that it sends to itself. Pure."""


class Pulse:
    """The pulse of one worker. The caller passes the time, in seconds of any clock that only rises.

    A pulse that cannot be sent shows nothing about the worker, nor does one that waits while every process
    runs another task: a task has a time limit.

    Args:
        stalled_s: How long a pulse may wait.
        start_s: How much longer the first one of a start may wait.
    """

    def __init__(self, *, stalled_s: float, start_s: float) -> None:
        self._stalled_s = stalled_s
        self._start_s = start_s
        self.number = 0
        """The last pulse that was sent."""
        self._answered = 0
        self._waiting_since: float | None = None
        self._starts = True
        """Whether no pulse of this start has arrived."""

    def restart(self) -> None:
        """The worker's processes are started anew."""
        self._starts = True
        self._waiting_since = None

    def next(self) -> int:
        """The number of the next pulse, which replaces one that waits."""
        return self.number + 1

    def sent(self, now: float) -> None:
        """The next pulse was sent."""
        self.number += 1
        if self._waiting_since is None:
            self._waiting_since = now

    def unsent(self) -> None:
        """The next pulse could not be sent."""
        self._waiting_since = None

    def observe(self, now: float, *, answered: int, all_busy: bool) -> None:
        """What the worker's processes have done.

        Args:
            now: The time.
            answered: The last pulse that has arrived.
            all_busy: Whether each of them runs another task.
        """
        if answered > self._answered:
            self._answered = answered
            self._starts = False
            self._waiting_since = None if answered >= self.number else now
        elif all_busy and self._waiting_since is not None:
            self._waiting_since = now

    def stalled(self, now: float) -> bool:
        """Whether a pulse waits for longer than it may."""
        if self._waiting_since is None:
            return False
        allowed_s = self._stalled_s + self._start_s if self._starts else self._stalled_s
        return now - self._waiting_since >= allowed_s

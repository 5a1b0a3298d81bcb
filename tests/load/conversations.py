"""Conversations: those that backends have opened, for the viewers of every process of Locust."""

import threading
from itertools import count
from typing import NamedTuple

WAIT_S = 0.5
"""How long a viewer waits for a first conversation before it looks again."""


class Conversation(NamedTuple):
    """A conversation that viewers can watch."""

    id: str
    stream_url: str
    """Where its viewers connect."""


class Conversations:
    """The open conversations. Locust's processes exchange them as messages, so that each one has all.

    ``threading`` is gevent's here: a wait lets other users run.
    """

    def __init__(self) -> None:
        self.numbers = count()
        """Numbers of this process's viewers."""
        self.finishing = threading.Event()
        """Set when backends finish: no conversation is opened any more."""
        self._viewers: dict[Conversation, int] = {}
        self._some = threading.Event()

    def clear(self) -> None:
        """Begin a run."""
        self.finishing.clear()
        self._some.clear()
        self._viewers.clear()

    def add(self, conversation: Conversation) -> None:
        """A backend has opened it."""
        self._viewers.setdefault(conversation, 0)
        self._some.set()

    def remove(self, conversation: Conversation) -> None:
        """Its backend has ended it."""
        self._viewers.pop(conversation, None)
        if not self._viewers:
            self._some.clear()

    def choose(self) -> Conversation | None:
        """The one that fewest viewers of this process chose; None after a short wait when there is none."""
        if self.finishing.is_set() or not self._some.wait(WAIT_S):
            return None
        chosen = min(self._viewers, key=self._viewers.__getitem__)
        self._viewers[chosen] += 1
        return chosen

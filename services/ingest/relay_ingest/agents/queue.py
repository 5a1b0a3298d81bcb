"""The inbox: what an agent has not read yet, within bounds. Pure."""

from collections import deque

from relay_ingest.agents.events import ClipRequest, Event, Interrupted, Microphone, Text


class EventQueue:
    """A queue of events that drops the oldest rather than wait: first microphone audio, then requests.

    The conversation's beginning, its end and the latest interrupt are never dropped, nor is the end of
    what was said while there is other audio to drop.

    Args:
        limit_events: Most events that wait.
        limit_bytes: Most bytes of audio and text in them.
    """

    def __init__(self, *, limit_events: int, limit_bytes: int) -> None:
        self._limit_events = limit_events
        self._limit_bytes = limit_bytes
        self._events: deque[Event] = deque()
        self._size_bytes = 0
        self._since: float | None = None

    @property
    def interrupted(self) -> bool:
        """Whether an interrupt waits to be read."""
        return any(isinstance(event, Interrupted) for event in self._events)

    def put(self, event: Event, now: float) -> list[Event]:
        """Add an event. Returns those that were dropped for it, maybe itself."""
        if isinstance(event, Interrupted):
            self._events = deque(waiting for waiting in self._events if not isinstance(waiting, Interrupted))
        self._events.append(event)
        self._size_bytes += _size_bytes(event)
        if self._since is None:
            self._since = now
        dropped = []
        while self._is_over() and (victim := self._victim()) is not None:
            dropped.append(victim)
            self._events.remove(victim)
            self._size_bytes -= _size_bytes(victim)
        return dropped

    def take(self, now: float) -> Event | None:
        """The oldest event; None when there is none."""
        self._since = now if len(self._events) > 1 else None
        if not self._events:
            return None
        event = self._events.popleft()
        self._size_bytes -= _size_bytes(event)
        return event

    def neglected_s(self, now: float) -> float:
        """For how long nothing was read although something waits."""
        return now - self._since if self._since is not None else 0.0

    def excuse(self, now: float) -> None:
        """Count neglect from now on: the reader had something else to do."""
        if self._since is not None:
            self._since = now

    def _is_over(self) -> bool:
        return len(self._events) > self._limit_events or self._size_bytes > self._limit_bytes

    def _victim(self) -> Event | None:
        requests = [event for event in self._events if isinstance(event, Text | ClipRequest | Microphone)]
        audio = (event for event in requests if isinstance(event, Microphone) and not event.end)
        return next(audio, requests[0] if requests else None)


def _size_bytes(event: Event) -> int:
    match event:
        case Microphone(pcm, _):
            return len(pcm)
        case Text(text) | ClipRequest(text):
            return len(text)
        case _:
            return 0

"""Event queue: the events that an agent has not read, within bounds. Pure."""

from collections import deque

from relay_ingest.agents.events import Event
from relay_wire.uplink import Priority


class EventQueue:
    """A queue that drops the oldest event rather than block: first microphone audio, then requests.

    The first event, the last event and the latest interrupt are never dropped, nor is the end of microphone
    audio while there is other audio to drop.

    Args:
        limit_events: Most events in the queue.
        limit_bytes: Most bytes of audio and text in them.
    """

    def __init__(self, *, limit_events: int, limit_bytes: int) -> None:
        self._limit_events = limit_events
        self._limit_bytes = limit_bytes
        self._events: deque[Event] = deque()
        self._size_bytes = 0
        self._unread_since: float | None = None

    @property
    def has_interrupt(self) -> bool:
        """Whether the queue has an interrupt."""
        return any(event.is_interrupt for event in self._events)

    def put(self, event: Event, now: float) -> list[Event]:
        """Add an event. Returns the events dropped for it, which may include itself."""
        if event.is_interrupt:
            self._events = deque(queued for queued in self._events if not queued.is_interrupt)
        self._events.append(event)
        self._size_bytes += event.size_bytes
        if self._unread_since is None:
            self._unread_since = now
        dropped = []
        while self._is_over() and (victim := self._victim()) is not None:
            dropped.append(victim)
            self._events.remove(victim)
            self._size_bytes -= victim.size_bytes
        return dropped

    def get(self, now: float) -> Event | None:
        """Remove the oldest event; None when the queue is empty."""
        self._unread_since = now if len(self._events) > 1 else None
        if not self._events:
            return None
        event = self._events.popleft()
        self._size_bytes -= event.size_bytes
        return event

    def unread_s(self, now: float) -> float:
        """How long the queue has had events while none was read."""
        return now - self._unread_since if self._unread_since is not None else 0.0

    def restart_unread(self, now: float) -> None:
        """Count the time without a read from now on: the reader was busy with other work."""
        if self._unread_since is not None:
            self._unread_since = now

    def _is_over(self) -> bool:
        return len(self._events) > self._limit_events or self._size_bytes > self._limit_bytes

    def _victim(self) -> Event | None:
        """The oldest of the events with the lowest priority."""
        droppable = (event for event in self._events if event.priority < Priority.CONTROL)
        return min(droppable, key=lambda event: event.priority, default=None)

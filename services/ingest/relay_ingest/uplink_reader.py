"""Uplink reader: reads a conversation's uplink for its owner, in order, except for interrupts.

Speech of a turn that may not begin yet stays in the stream. The reader reads past it, since interrupts and
playback reports lie behind it, and reads it again when the turn may begin. An interrupt acts before the
speech it overtakes: as soon as it is read, and where many entries wait, as soon as the record names the
cancelled turn.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

import structlog
from prometheus_client import Counter

from relay_ingest.error_boundary import ErrorBoundary
from relay_redis.errors import StoreError
from relay_streams.consumer import Entry, StreamConsumer, StreamSubscription
from relay_streams.conversations import fields_of
from relay_streams.leases import Lease
from relay_streams.uplink import Uplink
from relay_telemetry.fast_histogram import FastHistogram
from relay_turns.effects import Deferred, Effect
from relay_turns.machine import BARGE_IN
from relay_wire import uplink

UPLINK_SECONDS = FastHistogram(
    "relay_ingest_uplink_seconds",
    "Age of an uplink entry when its owner handles it.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
BAD_ENTRIES = Counter("relay_ingest_bad_entries_total", "Uplink entries that could not be decoded.")

_PAUSE_S = 0.05
_MANY_ENTRIES = 16
"""A read of this many entries suggests that more wait to be read."""

log = structlog.get_logger(__name__)


class Accepted(NamedTuple):
    """The turn machine's effects of speech that need not wait."""

    effects: list[Effect]
    """To be performed once the reader's cursor has passed the speech."""
    begins: bool
    """Whether the speech began its turn."""


class UplinkHandler(Protocol):
    """The owner, as its uplink reader uses it."""

    def offer(self, speech: uplink.SpeechChunk, stored_ms: int) -> Accepted | Deferred:
        """Offer speech, stored at this wall time, to the turn machine. Deferred speech is offered again."""

    def perform(self, effects: list[Effect]) -> None:
        """Perform effects of accepted speech, and store the reader's cursor with them."""

    def on_entry(self, entry: uplink.Entry) -> None:
        """Handle any other entry, once."""

    def on_cancel(self, upto: int, reason: str) -> None:
        """Cancel turns, ahead of the entry with the interrupt, which ``on_entry`` gets in its order."""

    def may_resume(self) -> bool:
        """Whether deferred speech may be offered again."""

    def is_behind(self) -> bool:
        """Whether reading has to pause."""


class UplinkReader:
    """Reads a conversation's uplink, from ``start`` until ``close``.

    Args:
        lease: The conversation's lease.
        consumer: Reads the stream.
        up: Knows the last turn that was cancelled.
        boundary: Around the callbacks and tasks of this reader.
        handler: The owner.
    """

    def __init__(
        self,
        lease: Lease,
        *,
        consumer: StreamConsumer,
        up: Uplink,
        boundary: ErrorBoundary,
        handler: UplinkHandler,
    ) -> None:
        self._keys = lease.keys
        self._consumer = consumer
        self._up = up
        self._boundary = boundary
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self.cursor = lease.conversation.uplink_cursor
        """The last entry that needs no further reading: the next owner reads what comes after it."""
        self._handled = _order(self.cursor)
        """The last entry handled. Entries other than speech are skipped when they are read a second time."""
        self._deferred_after: str | None = None
        """The entry before the first deferred speech."""
        self.deferred_ms = 0
        """When the first deferred speech was stored, as a wall time; 0: there is none."""
        self._lookup: asyncio.Task[None] | None = None
        self._subscription: StreamSubscription
        """Created by ``start``."""

    def start(self) -> None:
        """Read from the stored cursor on."""
        self._subscription = self._consumer.subscribe(
            self._keys.up,
            self._keys.partition,
            self.cursor,
            self._on_entries,
            self._boundary.failed("uplink"),
        )

    @property
    def last_handled(self) -> str:
        """The last entry handled."""
        return "{}-{}".format(*self._handled)

    @property
    def last_read(self) -> str:
        """The last entry read."""
        return self._subscription.cursor.decode()

    def close(self) -> None:
        """Stop reading. Safe to call again."""
        self._subscription.close()

    def resume(self) -> bool:
        """Read deferred speech again if its turn may begin. True when it will be read again."""
        if self._deferred_after is None or not self._handler.may_resume():
            return False
        self._subscription.seek(self._deferred_after)
        self._deferred_after = None
        self.deferred_ms = 0
        return True

    def _on_entries(self, entries: Sequence[Entry]) -> None:
        decoded = [(entry_id.decode(), self._decode(entry_id, fields)) for entry_id, fields in entries]
        for _, entry in decoded:
            if isinstance(entry, uplink.Interrupt):
                self._handler.on_cancel(entry.upto, entry.reason)
            elif isinstance(entry, uplink.SpeechChunk) and entry.barge_in:
                self._handler.on_cancel(entry.turn - 1, BARGE_IN)
        for entry_id, entry in decoded:
            if isinstance(entry, uplink.SpeechChunk):
                self._offer(entry_id, entry)
            else:
                self._handle(entry_id, entry)
            if self._subscription.closed or self.resume():
                return
        if len(entries) >= _MANY_ENTRIES:
            self._look_ahead()
        self._pause_if_behind()

    def _decode(self, entry_id: bytes, fields: Sequence[bytes]) -> uplink.Entry | None:
        try:
            return uplink.decode(fields_of(list(fields)))
        except uplink.UplinkError as error:
            BAD_ENTRIES.inc()
            log.warning(
                "uplink entry unreadable",
                conversation=self._keys.id, entry=entry_id.decode(), error=str(error),
            )  # fmt: skip
            return None

    def _offer(self, entry_id: str, speech: uplink.SpeechChunk) -> None:
        stored_ms = _order(entry_id)[0]
        answer = self._handler.offer(speech, stored_ms)
        if isinstance(answer, Deferred):
            if self._deferred_after is None:
                self._deferred_after = self.cursor
                self.deferred_ms = stored_ms
            return
        if answer.begins:
            # Deferred speech of the turns before one that barges in is never published.
            self._deferred_after = None
            self.deferred_ms = 0
        _observe(stored_ms)
        self._mark_handled(entry_id)
        self._handler.perform(answer.effects)

    def _handle(self, entry_id: str, entry: uplink.Entry | None) -> None:
        is_new = _order(entry_id) > self._handled
        if is_new:
            _observe(_order(entry_id)[0])
        self._mark_handled(entry_id)
        if entry is not None and is_new:
            self._handler.on_entry(entry)

    def _mark_handled(self, entry_id: str) -> None:
        self._handled = max(self._handled, _order(entry_id))
        if self._deferred_after is None:
            self.cursor = entry_id

    # --- when many entries wait ----------------------------------------------------------------

    def _look_ahead(self) -> None:
        if self._lookup is None or self._lookup.done():
            self._lookup = self._boundary.spawn(self._cancel_early())

    async def _cancel_early(self) -> None:
        with suppress(StoreError):
            stop = await self._up.last_stop(self._keys)
            if not self._subscription.closed:
                self._handler.on_cancel(*stop)
                self.resume()

    def _pause_if_behind(self) -> None:
        if self._handler.is_behind():
            self._subscription.pause()
            self._look_ahead()
            self._loop.call_later(_PAUSE_S, self._unpause)

    def _unpause(self) -> None:
        if not self._subscription.closed:
            self._subscription.resume()
            self._pause_if_behind()


def _observe(stored_ms: int) -> None:
    UPLINK_SECONDS.observe(max(time.time() - stored_ms / 1000, 0.0))


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)

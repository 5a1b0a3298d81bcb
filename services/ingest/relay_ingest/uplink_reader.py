"""The intake: reads a conversation's up stream for its owner, in order, but for what stops speech.

Speech that waits for its turn stays in the stream. The intake reads past it, since interrupts and reports lie
behind it, and reads it again when its time has come. An interrupt acts before the speech it overtakes: as
soon as it is read, and where much waits to be read, as soon as the record tells of it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal, Protocol

import structlog
from prometheus_client import Counter

from relay_ingest.error_boundary import ErrorBoundary
from relay_redis.errors import StoreError
from relay_streams.consumer import Entry, StreamConsumer
from relay_streams.conversations import fields_of
from relay_streams.leases import Lease
from relay_streams.uplink import Uplink
from relay_turns.machine import BARGE_IN
from relay_wire import uplink

BAD_ENTRIES = Counter("relay_ingest_bad_entries_total", "Up entries that could not be read.")

Verdict = Literal["begin", "go_on", "wait"]
"""Speech begins a turn, belongs to one that began, or one that is over; or has to wait."""

_PAUSE_S = 0.05
_MANY_ENTRIES = 16
"""So many at once say that more may wait to be read."""

log = structlog.get_logger(__name__)


class UplinkHandler(Protocol):
    """What an intake needs of the owner."""

    def judge(self, speech: uplink.SpeechChunk) -> Verdict:
        """What becomes of speech if it is taken now."""

    def on_speech(self, speech: uplink.SpeechChunk) -> None:
        """Speech that need not wait."""

    def on_said(self, said: uplink.Entry) -> None:
        """Anything else, once."""

    def on_stop(self, upto: int, reason: str) -> None:
        """Turns are cancelled. It is told of again, as what it is, in its order."""

    def may_resume(self) -> bool:
        """Whether speech that waits may be judged again."""

    def is_behind(self) -> bool:
        """Whether no more is to be read now."""


class UplinkReader:
    """Reads from where the owner before left off, until closed.

    Args:
        lease: The term.
        consumer: Reads the stream.
        up: Can be asked what waits in it.
        contained: Around what runs here.
        reader: The owner.
    """

    def __init__(
        self,
        lease: Lease,
        *,
        consumer: StreamConsumer,
        up: Uplink,
        contained: ErrorBoundary,
        reader: UplinkHandler,
    ) -> None:
        self._keys = lease.keys
        self._up = up
        self._contained = contained
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self.cursor = lease.conversation.up
        """The last entry that is done with: what comes after it would be the next owner's."""
        self._heard = _order(self.cursor)
        """The last entry acted on. What is not speech is not acted on again when it is read a second time."""
        self._waiting_after: str | None = None
        """Where the speech begins that waits for its turn."""
        self._looking: asyncio.Task[None] | None = None
        self._following = consumer.follow(
            self._keys.up, self._keys.partition, self.cursor, self._on_entries, contained.failed("uplink")
        )

    @property
    def heard(self) -> str:
        """The last entry acted on."""
        return "{}-{}".format(*self._heard)

    @property
    def read(self) -> str:
        """The last entry read."""
        return self._following.cursor.decode()

    def close(self) -> None:
        """Read no more. Safe to call again."""
        self._following.close()

    def resume(self) -> bool:
        """Read the waiting speech again once its turn may begin. True when it is being read."""
        if self._waiting_after is None or not self._reader.may_resume():
            return False
        self._following.seek(self._waiting_after)
        self._waiting_after = None
        return True

    def _on_entries(self, entries: Sequence[Entry]) -> None:
        decoded = [(entry.decode(), self._decode(entry, fields)) for entry, fields in entries]
        for _, said in decoded:
            if isinstance(said, uplink.Interrupt):
                self._reader.on_stop(said.upto, said.reason)
            elif isinstance(said, uplink.SpeechChunk) and said.barge_in:
                self._reader.on_stop(said.turn - 1, BARGE_IN)
        for entry, said in decoded:
            self._take(entry, said)
            if self._following.closed or self.resume():
                return
        if len(entries) >= _MANY_ENTRIES:
            self._look_ahead()
        self._pause_if_behind()

    def _decode(self, entry: bytes, fields: Sequence[bytes]) -> uplink.Entry | None:
        try:
            return uplink.decode(fields_of(list(fields)))
        except uplink.UplinkError as error:
            BAD_ENTRIES.inc()
            log.warning(
                "an up entry could not be read",
                conversation=self._keys.id, entry=entry.decode(), error=str(error),
            )  # fmt: skip
            return None

    def _take(self, entry: str, said: uplink.Entry | None) -> None:
        if isinstance(said, uplink.SpeechChunk):
            verdict = self._reader.judge(said)
            if verdict == "wait":
                if self._waiting_after is None:
                    self._waiting_after = self.cursor
                return
            if verdict == "begin":
                self._waiting_after = None  # A turn that barges in leaves those before it unspoken.
            self._consumed(entry)
            self._reader.on_speech(said)
        else:
            is_new = _order(entry) > self._heard
            self._consumed(entry)
            if said is not None and is_new:
                self._reader.on_said(said)

    def _consumed(self, entry: str) -> None:
        self._heard = max(self._heard, _order(entry))
        if self._waiting_after is None:
            self.cursor = entry

    # --- when much waits -----------------------------------------------------------------------

    def _look_ahead(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = self._contained.spawn(self._stop_early())

    async def _stop_early(self) -> None:
        with suppress(StoreError):
            stop = await self._up.last_stop(self._keys)
            if not self._following.closed:
                self._reader.on_stop(*stop)
                self.resume()

    def _pause_if_behind(self) -> None:
        if self._reader.is_behind():
            self._following.pause()
            self._look_ahead()
            self._loop.call_later(_PAUSE_S, self._unpause)

    def _unpause(self) -> None:
        if not self._following.closed:
            self._following.resume()
            self._pause_if_behind()


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)

"""Watchers: a viewer whose frames are recorded for the comparison as they arrive."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import aiohttp

from relay_cli.verify.order import Order
from relay_cli.verify.recovery import Recovery
from relay_cli.verify.turn import ReceivedTurn
from relay_client import Viewer, ViewerError
from relay_wire import events
from relay_wire.close_codes import CloseCode
from relay_wire.frame import Frame, FrameError, Kind
from relay_wire.position import Position, PositionError


class Watcher:
    """Watches one conversation. Enter it to connect; ``run`` receives until the conversation ends.

    Args:
        name: Names it in the texts of failures.
        urls: Base URLs of gateways.
        conversation: The conversation's id.
        token: A viewer token.
        give_up_s: How long connecting may fail.
        session: The aiohttp session to use.
    """

    def __init__(
        self,
        name: str,
        urls: list[str],
        conversation: str,
        token: str,
        *,
        give_up_s: float,
        session: aiohttp.ClientSession,
    ) -> None:
        self.name = name
        self.order = Order()
        self.recovery = Recovery()
        self.close_codes: Counter[int] = Counter()
        self.failure = ""
        """Why its connection ended for good before the conversation did."""
        self.ends = 0
        """``conversation_ended`` events that it has received."""
        self.cuts = 0
        self._turns: dict[int, ReceivedTurn] = {}
        self._cut_at: tuple[int, int] | None = None
        self._changed = asyncio.Event()
        self._has_media = self._finished = False
        self._viewer = Viewer(urls, conversation, token, give_up_s=give_up_s, session=session, observer=self)

    @property
    def reconnects(self) -> int:
        """How often it has reconnected."""
        return self._viewer.report.resumes

    @property
    def remaining(self) -> list[int]:
        """Turns with media or bounds that were not taken; an ``interrupted`` alone may follow the last."""
        return sorted(number for number, turn in self._turns.items() if turn.order)

    async def __aenter__(self) -> Self:
        await self._viewer.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect for good, which ends ``run``."""
        await self._viewer.close()

    async def run(self) -> None:
        """Receive until the conversation ends, or the connection ends for good: see ``failure``."""
        try:
            async for frame in self._viewer:
                await self._react(frame)
            if not self.ends:
                self.failure = "the connection ended although the conversation had not"
        except (ViewerError, FrameError, PositionError, events.EventError) as error:
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self._finished = True
            self._changed.set()

    async def until_received(self) -> None:
        """Wait for the first frame of a turn, or the end of ``run``."""
        await self._until(lambda: self._has_media)

    async def until_turn_ended(self, number: int) -> bool:
        """Wait for the end of a turn; returns False when it cannot arrive any more."""
        return await self._until(lambda: number in self._turns and bool(self._turns[number].outcome))

    async def until_finished(self) -> None:
        """Wait for the end of ``run``."""
        await self._until(lambda: self._finished)

    async def _until(self, condition: Callable[[], bool]) -> bool:
        while not condition():
            if self._finished:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    def take_turn(self, number: int) -> ReceivedTurn:
        """Remove a turn from the record and return it; ``remaining`` has what arrives of it later."""
        return self._turns.pop(number, ReceivedTurn())

    def cut_in(self, turn: int, audio_bytes: int) -> None:
        """Cut the connection once it has received this much of a turn's audio."""
        self._cut_at = turn, audio_bytes

    # --- the viewer's observer ---------------------------------------------------------------------

    def received(self, frame: Frame) -> None:
        """Record a frame."""
        event = events.decode(frame.payload) if frame.kind is Kind.EVENT else None
        if frame.seq == 0:
            self._on_gateway_event(event)
        elif self.order.receive(frame.position, event):
            self.recovery.receive(frame.turn, time.monotonic())
            if frame.turn:
                self._has_media = True
                self._turns.setdefault(frame.turn, ReceivedTurn()).add(frame, event)
            self.ends += isinstance(event, events.ConversationEnded)
            self._changed.set()

    def disconnected(self, code: CloseCode) -> None:
        """Record the end of a connection."""
        self.close_codes[code.code] += 1
        if not self.ends:
            self.recovery.disconnect(time.monotonic())

    def _on_gateway_event(self, event: events.Event | events.Unknown | None) -> None:
        if isinstance(event, events.Hello):
            self.order.begin(Position.parse(event.position))
        elif isinstance(event, events.Gap):
            self.order.skip(Position.parse(event.to))

    async def _react(self, frame: Frame) -> None:
        """Report playback as clients do, so that the next turn can begin; cut where it is due."""
        if self._cut_at is not None and frame.kind is Kind.AUDIO:
            self._cut_if_due(frame.turn, *self._cut_at)
        elif (
            frame.kind is Kind.EVENT
            and frame.seq
            and isinstance(events.decode(frame.payload), events.TurnEnded)
        ):
            with suppress(ConnectionError):  # then another viewer's report, or the clock, ends playback
                await self._viewer.report_playback(frame.turn, "finished")

    def _cut_if_due(self, turn: int, cut_turn: int, audio_bytes: int) -> None:
        if turn == cut_turn and self._turns[turn].audio_bytes >= audio_bytes:
            self._cut_at = None
            with suppress(ConnectionError):  # it is not connected now
                self._viewer.cut()
                self.cuts += 1

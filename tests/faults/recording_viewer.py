"""Recording viewers: they record every message on arrival, before the client library reads it."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import aiohttp
from tests.faults.verifier import Position, Sighting, sight

from relay_client import Viewer, ViewerError
from relay_wire import events
from relay_wire.frame import Frame, Kind


class RecordingViewer(Viewer):
    """A viewer with a record.

    Attributes:
        record: Everything that came on any of its sockets, in order of arrival.
        ended: The turns whose ``turn_ended`` it has seen.
        failure: Why it gave up, if it did.
    """

    def __init__(self, name: str, *arguments: Any, reports: bool = True, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.name = name
        self.record: list[Sighting] = []
        self.ended: set[int] = set()
        self.motion_of = 0
        self.failure = ""
        self._reports = reports
        self._away_until = 0.0

    async def watch(self) -> None:
        """Receive until the conversation ends. Some report that they have played a turn."""
        try:
            async for received in self:
                if received.kind is Kind.MOTION:
                    self.motion_of = received.turn
                elif received.kind is Kind.EVENT and received.seq:
                    await self._record(received)
        except ViewerError as error:
            self.failure = f"{type(error).__name__}: {error}"

    async def _record(self, received: Frame) -> None:
        if not isinstance(events.decode(received.payload), events.TurnEnded):
            return
        self.ended.add(received.turn)
        if self._reports:
            with suppress(ConnectionError):  # then another viewer, or the clock, lets the next turn begin
                await self.report_playback(received.turn, "finished")

    @property
    def position(self) -> Position:
        """The last frame it has."""
        return max((one.position for one in self.record if one.position[1]), default=(0, 0))

    def came_after(self, at: float) -> bool:
        """Whether anything of the stream came after this moment."""
        return any(one.at > at and one.position[1] for one in reversed(self.record[-50:]))

    def leave_for(self, seconds: float) -> float:
        """Break the connection, and connect again after this time, as behind a tunnel.

        Returns when that will be.
        """
        self._away_until = self._now() + seconds
        with suppress(ConnectionError):  # not back from the last time
            self.cut()
        return time.time() + seconds

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        await asyncio.sleep(self._away_until - self._now())
        return await super()._open()

    def _admit(self, received: Frame) -> Frame | None:
        payload = received.payload
        assert isinstance(payload, memoryview), "a view of the message as it came"
        self.record.append(sight(payload.obj, time.time()))
        return super()._admit(received)

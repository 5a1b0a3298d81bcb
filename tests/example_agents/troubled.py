"""Agents with faults."""

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

from relay_ingest.agents.api import Agent, AgentSession, Event, Started, Text

TENTH = b"\x01\x02" * 1600


class Raises(Agent):
    """In the middle of its first speech."""

    async def run(self, session: AgentSession) -> None:
        async for event in session:
            if isinstance(event, Text):
                await session.speak(self._broken())

    async def _broken(self) -> AsyncIterator[bytes]:
        yield TENTH
        raise RuntimeError("a secret the viewers must not see")


class Exits(Agent):
    """As a program would, that finds its settings wrong."""

    async def run(self, session: AgentSession) -> None:
        async for event in session:
            if isinstance(event, Text):
                raise SystemExit(event.text)


class Hangs(Agent):
    """Reads nothing, or its speech makes a pause for ever."""

    async def run(self, session: AgentSession) -> None:
        async for event in session:
            match event:
                case Text("speak"):
                    await session.speak(self._endless_pause())
                case Text():
                    await asyncio.Event().wait()

    async def _endless_pause(self) -> AsyncIterator[bytes]:
        yield TENTH
        await asyncio.Event().wait()


class Floods(Agent):
    """Never stops talking, in every way there is."""

    async def run(self, session: AgentSession) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write(session))
            while True:
                await session.speak(self._endless())

    async def _write(self, session: AgentSession) -> None:
        while True:
            await session.transcript("assistant", "x" * 100_000)

    async def _endless(self) -> AsyncIterator[bytes]:
        while True:
            yield TENTH * 10


class Slow(Agent):
    """Speaks a tenth of a second whenever it is let, and writes down what happens to it."""

    events: ClassVar[list[Event]] = []
    spoken: ClassVar[list[bool]] = []
    closed: ClassVar[list[str]] = []
    gate: ClassVar[asyncio.Semaphore]

    async def run(self, session: AgentSession) -> None:
        async for event in session:
            self.events.append(event)
            if isinstance(event, Started):
                await session.transcript("assistant", f"resumed={event.resumed}")
            elif isinstance(event, Text):
                self.spoken.append(await session.speak(self._chunks(event.text)))

    async def _chunks(self, text: str) -> AsyncIterator[bytes]:
        try:
            for _ in range(10):
                await self.gate.acquire()
                yield TENTH
        finally:
            self.closed.append(text)


class Paced(Agent):
    """Speaks the requested number of seconds, in real time."""

    async def run(self, session: AgentSession) -> None:
        async for event in session:
            if isinstance(event, Text):
                await session.speak(self._chunks(int(event.text)))

    async def _chunks(self, seconds: int) -> AsyncIterator[bytes]:
        for _ in range(seconds * 10):
            yield TENTH
            await asyncio.sleep(0.1)


class NoAgent:
    """Not what the entry point promises."""

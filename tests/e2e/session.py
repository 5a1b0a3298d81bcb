"""A session: a whole relay under a Prometheus, with speech, viewers, and two processes killed in mid-turn.

Nothing moves when a process is killed, and Prometheus has scraped it since: no count is lost with it, so that
totals must agree to the frame.
"""

import asyncio
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from tests.faults.recording_viewer import RecordingViewer
from tests.faults.tap import Tap, Tape
from tests.faults.truth import turns_of
from tests.faults.verifier import Verdict, verify
from tests.rigs.eventually import eventually
from tests.rigs.prometheus import Prometheus, prometheus

from relay_cli.stack import Child, Stack
from relay_client import Backend
from relay_runtime.tasks import TaskScope
from relay_wire.frame import Kind

RATE = 16000
STEP_S = 60.0
"""Longest wait for one step."""
SPEECH = bytes(index * index % 253 for index in range(4 * 2 * RATE))
"""Four seconds that are not silence."""
KEPT = "1h"
"""A window longer than the session: also the last values of processes that are gone."""
_KINDS = {int(kind): kind.name.lower() for kind in Kind}


@dataclass
class Conversation:
    """One conversation of the session, with viewers at both gateways from its first turn on."""

    id: str
    tape: Tape
    viewers: list[RecordingViewer]

    async def ended(self, turn: int) -> None:
        """Wait until every viewer has seen the end of a turn."""
        await eventually(lambda: all(turn in viewer.ended for viewer in self.viewers), STEP_S)

    async def moving(self, turn: int) -> None:
        """Wait until every viewer has motion of a turn."""
        await eventually(lambda: all(viewer.motion_of == turn for viewer in self.viewers), STEP_S)

    def outcomes(self) -> Counter[str]:
        """How its turns ended, by its frames."""
        turns = turns_of([self.tape.frames[at] for at in sorted(self.tape.frames)])
        return Counter(turn.outcome for turn in turns.values())

    def kinds(self) -> Counter[str]:
        """Its frames by kind."""
        return Counter(_KINDS[frame[1]] for frame in self.tape.frames.values())


@dataclass
class Session:
    """What ran, and where Prometheus is.

    Attributes:
        start: When the first speech came, in seconds since the epoch.
        end: When everything had ended and was scraped.
        killed: When a process was killed, by what it was.
        read_by_killed: Frames published until the gateway was killed, all of which it had read.
    """

    stack: Stack
    backend: Backend
    http: aiohttp.ClientSession
    prometheus: Prometheus
    tap: Tap
    scope: TaskScope
    conversations: list[Conversation] = field(default_factory=list)
    start: float = field(default_factory=time.time)
    end: float = 0.0
    read_by_killed: int = 0
    killed: dict[str, float] = field(default_factory=dict)
    _watching: list["asyncio.Task[None]"] = field(default_factory=list)

    async def run(self) -> None:
        """The session, from the first speech to the last scrape."""
        whole = await self._converse("whole", 0, 1, 1)
        moved = await self._converse("moved", 0, 1)
        orphaned = await self._converse("orphaned", 0, 1)
        await self._turns(whole)
        await self._gateway_killed(moved)
        await self._owner_killed(orphaned)
        for conversation in self.conversations:
            await self.backend.end(conversation.id)
        await asyncio.wait_for(asyncio.gather(*self._watching), STEP_S)
        await self.tap.read_again()
        await self._counted()
        self.end = time.time()

    def published(self) -> Counter[str]:
        """Frames that the store had, by kind."""
        return sum((conversation.kinds() for conversation in self.conversations), Counter[str]())

    def viewers(self) -> list[RecordingViewer]:
        """All of them."""
        return [viewer for one in self.conversations for viewer in one.viewers]

    def received(self) -> int:
        """Frames that viewers got."""
        return sum(bool(sighting.position[1]) for viewer in self.viewers() for sighting in viewer.record)

    def outcomes(self) -> Counter[str]:
        """How turns ended, by the frames."""
        return sum((conversation.outcomes() for conversation in self.conversations), Counter[str]())

    def verdict(self) -> Verdict:
        """The verifier's comparison of what was published and what arrived."""
        verdict = Verdict()
        for one in self.conversations:
            records = {viewer.name: viewer.record for viewer in one.viewers}
            verdict.merge(verify(one.tape.publications, records))
        return verdict

    async def _converse(self, name: str, *gateways: int) -> Conversation:
        """Begin a conversation, with a viewer at each of these gateways once it has an owner."""
        known = (await self.backend.create(avatar_id=name)).id
        token = (await self.backend.token(known)).token
        conversation = Conversation(known, self.tap.follow(known), [])
        await eventually(lambda: conversation.tape.publications, STEP_S, what="the first owner")
        for gateway in gateways:
            urls = self.stack.gateway_urls[gateway:] + self.stack.gateway_urls[:gateway]
            viewer = RecordingViewer(
                f"{name}-{len(conversation.viewers)}", urls, known, token, session=self.http
            )
            await viewer.__aenter__()
            self._watching.append(self.scope.spawn(viewer.watch(), name=viewer.name))
            conversation.viewers.append(viewer)
        self.conversations.append(conversation)
        return conversation

    async def _turns(self, conversation: Conversation) -> None:
        """Turns that end well, one of a viewer that resumes, and one that a viewer interrupts."""
        for turn in (1, 2, 3):
            await self.backend.post_turn(conversation.id, SPEECH)
            await conversation.moving(turn)
            if turn == 2:
                conversation.viewers[-1].cut()
            await conversation.ended(turn)
        await self.backend.post_turn(conversation.id, SPEECH * 4)
        await conversation.moving(4)
        await conversation.viewers[0].interrupt()
        await conversation.ended(4)

    async def _gateway_killed(self, conversation: Conversation) -> None:
        """In mid-turn, the first gateway; its viewers continue at the other."""
        async with self.backend.speech(conversation.id) as stream:
            await stream.send(SPEECH[: len(SPEECH) // 2])
            await conversation.moving(1)
            await self._counted()
            self.read_by_killed = sum(self.published().values())
            await self._kill("a gateway", self.stack.gateways[0])
            await stream.send(SPEECH[len(SPEECH) // 2 :])
        await conversation.ended(1)

    async def _owner_killed(self, conversation: Conversation) -> None:
        """In mid-turn; another worker continues."""
        async with self.backend.speech(conversation.id) as stream:
            await stream.send(SPEECH[: len(SPEECH) // 2])
            await conversation.moving(1)
            owner = (await self.backend.read(conversation.id)).owner
            [victim] = [child for child in self.stack.workers if child.addresses["worker"] == owner]
            await self._counted()
            await self._kill("an ingest worker", victim)
            await stream.send(SPEECH[len(SPEECH) // 2 :])
        await conversation.ended(1)
        await self.backend.post_turn(conversation.id, SPEECH)
        await conversation.ended(2)

    async def _kill(self, what: str, victim: Child) -> None:
        self.killed[f"{what} is killed"] = time.time()
        victim.signal(signal.SIGKILL)
        await victim.wait()

    async def _counted(self) -> None:
        """Wait until nothing moves, and Prometheus has seen all that was published and received."""
        before = (-1, -1)

        async def settled() -> bool:
            nonlocal before
            counts = sum(self.published().values()), self.received()
            still, before = counts == before, counts
            found = [
                await self.prometheus.value(f"last_over_time({metric}[{KEPT}])")
                for metric in ("relay_publish_frames_total", _DELIVERED)
            ]
            await asyncio.sleep(_SCRAPES_S)
            return still and tuple(found) == counts

        await eventually(settled, STEP_S, what="Prometheus to have counted everything")


_DELIVERED = '{__name__=~"relay_gateway_deliveries_total|relay_gateway_replayed_frames_total"}'
_SCRAPES_S = 1.5
"""More than the time between two scrapes."""


@asynccontextmanager
async def session(
    redis_url: str, settings: Mapping[str, str] | None = None, *, jobs: bool = False
) -> AsyncIterator[Session]:
    """A session that has run, with its Prometheus.

    Args:
        redis_url: An empty Redis.
        settings: Variables for every process.
        jobs: Whether the jobs service runs, too.
    """
    stack = Stack(redis_url=redis_url, speed=4.0, settings=settings, jobs=jobs)
    async with AsyncExitStack() as parts:
        await parts.enter_async_context(stack)
        targets: dict[str, dict[str, str]] = defaultdict(dict)
        for child in stack.children:
            targets[child.name.partition("-")[0]][child.name] = child.admin
        made = Session(
            stack,
            await parts.enter_async_context(Backend(stack.control.url, stack.api_key)),
            await parts.enter_async_context(aiohttp.ClientSession()),
            await parts.enter_async_context(prometheus(targets)),
            await parts.enter_async_context(Tap(redis_url)),
            await parts.enter_async_context(TaskScope()),
        )
        await made.run()
        yield made

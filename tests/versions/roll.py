"""A roll: conversations in a relay whose processes change their version."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from tests.faults.recording_viewer import RecordingViewer
from tests.faults.tap import Tap, Tape
from tests.faults.truth import Spoken, breaches
from tests.faults.verifier import Verdict, verify
from tests.rigs.eventually import eventually
from tests.rigs.proxy import Proxy
from tests.versions.builds import Build
from tests.versions.mixed_stack import MixedStack, address_of

from relay_cli.stack import Child
from relay_client import Backend
from relay_runtime.tasks import TaskScope

Change = Callable[[], Awaitable[object]]

STEP_S = 30.0
"""Longest wait for one step."""
VIEWERS = 4
_PACE_S = 0.1
_PIECE = 2 * 1600
"""Bytes of a tenth of a second."""
_RATE = 16000
SPEECH = bytes(index * index % 253 for index in range(3 * 2 * _RATE))
"""Three seconds that are not silence."""


@dataclass
class Talk:
    """One conversation, from its creation to its end."""

    id: str
    tape: Tape
    spoken: dict[int, Spoken] = field(default_factory=dict)
    viewers: list[RecordingViewer] = field(default_factory=list)

    async def reached(self, turn: int) -> None:
        """Wait until every viewer has frames of a turn."""
        await eventually(
            lambda: all(viewer.record and viewer.record[-1].turn == turn for viewer in self.viewers),
            STEP_S,
            what=f"frames of turn {turn}",
        )

    async def ended(self, turn: int) -> None:
        """Wait until every viewer has seen the end of a turn."""
        await eventually(
            lambda: all(turn in viewer.ended for viewer in self.viewers),
            STEP_S,
            what=f"the end of turn {turn}",
        )


@dataclass
class Roll:
    """A running relay of two versions, and a conversation in it."""

    stack: MixedStack
    control: Proxy
    """Before control: its address stays when it is replaced, as that of a service does."""
    gateways: list[Proxy]
    """Before each gateway, likewise."""
    backend: Backend
    http: aiohttp.ClientSession
    tap: Tap
    scope: TaskScope
    talks: list[Talk] = field(default_factory=list)
    _watching: list["asyncio.Task[None]"] = field(default_factory=list)

    @property
    def gateway_urls(self) -> list[str]:
        """Where viewers connect."""
        return [f"ws://127.0.0.1:{gateway.port}" for gateway in self.gateways]

    async def converse(self) -> Talk:
        """Begin a conversation, with viewers at all gateways once it has an owner."""
        return await self.follow((await self.backend.create(avatar_id=f"avatar-{len(self.talks)}")).id)

    async def follow(self, conversation: str) -> Talk:
        """A conversation that has begun, as ``converse``."""
        talk = Talk(conversation, self.tap.follow(conversation))
        self.talks.append(talk)
        await eventually(lambda: talk.tape.publications, STEP_S, what="the first owner")
        for _ in range(VIEWERS):
            await self.join(talk)
        return talk

    async def join(self, talk: Talk) -> None:
        """One more viewer of a conversation."""
        urls = self.gateway_urls
        first = len(talk.viewers) % len(urls)
        token = (await self.backend.token(talk.id)).token
        name = f"{talk.id}-{len(talk.viewers)}"
        viewer = RecordingViewer(
            name, [*urls[first:], *urls[:first]], talk.id, token, session=self.http, give_up_s=None
        )
        await viewer.__aenter__()
        self._watching.append(self.scope.spawn(viewer.watch(), name=name))
        talk.viewers.append(viewer)

    async def speak_through(self, talk: Talk, change: Change) -> None:
        """Speak a turn as it is synthesised, until the change is done, which begins in its middle."""
        turn = max(talk.spoken, default=0) + 1
        spoken = bytearray()
        async with self.backend.speech(talk.id) as stream, asyncio.TaskGroup() as tasks:

            async def send(pcm: bytes) -> None:
                spoken.extend(pcm)
                await stream.send(pcm)

            await send(SPEECH)
            await talk.reached(turn)
            changing = tasks.create_task(_run(change))
            for number in itertools.count():
                await send(SPEECH[number % 13 * _PIECE :][:_PIECE])
                await asyncio.sleep(_PACE_S)
                if changing.done():
                    break
        assert stream.turn == turn
        talk.spoken[turn] = Spoken(bytes(spoken), acknowledged=True)
        await talk.ended(turn)

    async def post(self, talk: Talk) -> None:
        """Post a turn whole."""
        turn = (await self.backend.post_turn(talk.id, SPEECH)).turn
        talk.spoken[turn] = Spoken(SPEECH, acknowledged=True)
        await talk.ended(turn)

    async def cut(self, talk: Talk) -> None:
        """Break one viewer's connection, in mid-turn."""
        turn = (await self.backend.post_turn(talk.id, SPEECH)).turn
        talk.spoken[turn] = Spoken(SPEECH, acknowledged=True)
        await talk.reached(turn)
        talk.viewers[-1].cut()
        await talk.ended(turn)

    async def interrupt(self, talk: Talk) -> None:
        """Interrupt a turn by a viewer."""
        turn = (await self.backend.post_turn(talk.id, SPEECH * 4)).turn
        talk.spoken[turn] = Spoken(SPEECH * 4, acknowledged=True)
        await talk.reached(turn)
        await talk.viewers[0].interrupt()
        await talk.ended(turn)

    async def owner_of(self, talk: Talk) -> Child:
        """The worker that owns a conversation."""
        owner = (await self.backend.read(talk.id)).owner
        [child] = [child for child in self.stack.workers if child.addresses["worker"] == owner]
        return child

    async def replace(self, service: str, build: Build) -> None:
        """Replace every process of a service."""
        match service:
            case "gateway":
                await self.stack.replace_gateways(build, self.gateways)
            case "ingest":
                await self.stack.replace_workers(build)
            case "control":
                await self.stack.replace_control(build, self.control)
            case _:
                await self.stack.replace_jobs(build)

    async def end(self) -> None:
        """End every conversation, and compare what was spoken, published and received."""
        for talk in self.talks:
            await self.backend.end(talk.id)
        await asyncio.wait_for(asyncio.gather(*self._watching), STEP_S)
        await self.tap.read_again()
        requests = await self._requests()
        for talk in self.talks:
            verdict = verify(talk.tape.publications, {viewer.name: viewer.record for viewer in talk.viewers})
            assert not (failures := [viewer.failure for viewer in talk.viewers if viewer.failure]), failures
            assert _is_perfect(verdict), verdict.to_json()
            assert not talk.tape.conflicts
            frames = [talk.tape.frames[at] for at in sorted(talk.tape.frames)]
            assert breaches(frames, talk.spoken, requests, self.stack.seed) == []

    def report(self) -> str:
        """What each process logged last, and how far each viewer is."""
        viewers = [
            f"{viewer.name} is at {viewer.position}, ended {sorted(viewer.ended)}; {viewer.failure}"
            for talk in self.talks
            for viewer in talk.viewers
        ]
        logs = [f"--- {child.name}\n{child.log_tail()}" for child in self.stack.children]
        return "\n".join([*viewers, *logs])

    async def _requests(self) -> list[Mapping[str, Any]]:
        async with self.http.get(f"{self.stack.simulator.url}/admin/requests") as response:
            found: list[Mapping[str, Any]] = (await response.json())["requests"]
            return found


async def _run(change: Change) -> None:
    await change()


def _is_perfect(verdict: Verdict) -> bool:
    return verdict.whole and not verdict.total("gaps")


@asynccontextmanager
async def rolling(
    redis_url: str, builds: Mapping[str, Build], rest: Build, **options: Any
) -> AsyncIterator[Roll]:
    """A relay of these versions; leaving ends its conversations and compares."""
    stack = MixedStack(
        builds,
        rest,
        redis_url=redis_url,
        speed=4.0,
        settings={"RELAY_DRAIN_S": "2", "RELAY_INPUT_TIMEOUT_S": "60"},
        **options,
    )
    async with AsyncExitStack() as parts:
        await parts.enter_async_context(stack)
        control, *gateways = [
            await parts.enter_async_context(Proxy(*address_of(child)))
            for child in (stack.control, *stack.gateways)
        ]
        roll = Roll(
            stack,
            control,
            gateways,
            await parts.enter_async_context(Backend(f"http://127.0.0.1:{control.port}", stack.api_key)),
            await parts.enter_async_context(aiohttp.ClientSession()),
            await parts.enter_async_context(Tap(redis_url)),
            await parts.enter_async_context(TaskScope()),
        )
        with ExitStack() as failing:
            failing.callback(lambda: print(roll.report()))  # noqa: T201  # pytest shows it with the failure
            yield roll
            await roll.end()
            failing.pop_all()

"""The lab: a whole relay that talks without a pause, viewers on every gateway, and hands to break it with."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from tests.faults.monitor import Monitor
from tests.faults.reaper import PRESENCE, Reaper, reaping
from tests.faults.recording_viewer import RecordingViewer
from tests.faults.relay import LabStack
from tests.faults.speaker import Speaker
from tests.faults.stores import Store, Topology, open_store
from tests.faults.tap import Tap, Tape
from tests.faults.truth import breaches
from tests.faults.verifier import Verdict, percentile, verify
from tests.rigs.eventually import eventually
from tests.rigs.metrics import scraped

from relay_cli.stack import Child, Stack
from relay_client import Backend
from relay_runtime.tasks import TaskScope

TIMEOUT_S = 10.0
"""Longest wait for something that should happen soon."""


@dataclass(frozen=True)
class Setup:
    """What a scenario runs on.

    Attributes:
        viewers: Per conversation, distributed over the gateways.
        speed: The simulator's.
        turn_ms: Length of each turn that is spoken.
        chunk_ms: The duration of a frame of audio.
        pace: How many times faster than it plays speech comes in.
        pause_s: Silence after each turn, on average.
        gaps: Whether viewers may receive gaps.
        content: Whether payloads are compared, too; all of them stay in memory.
        lasts_s: How long a repeated fault lasts.
        credentials: Whether the relay logs in at Redis with a user and a password of its own.
        monitored: Whether frames are recorded as they are written, since they may be deleted at once.
        files: By service, how many descriptors each of its processes may have.
        unread_logs: Whether the standard error of the processes has no reader.
        reaped: Whether the reaper runs, with times that are far too short.
        jobs: Whether the jobs service runs.
        settings: Variables for every process.
    """

    topology: Topology = "one Redis"
    conversations: int = 4
    viewers: int = 2
    workers: int = 2
    gateways: int = 2
    speed: float = 10.0
    turn_ms: int = 2000
    chunk_ms: int = 100
    pace: float = 1.0
    pause_s: float = 0.0
    gaps: bool = False
    content: bool = True
    lasts_s: float = 0.0
    credentials: bool = False
    monitored: bool = False
    files: Mapping[str, int] = field(default_factory=dict)
    unread_logs: bool = False
    reaped: bool = True
    jobs: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Talk:
    """One conversation, its speaker, its viewers, and what the store had of it."""

    id: str
    avatar_id: str
    speaker: Speaker
    tape: Tape
    viewers: list[RecordingViewer] = field(default_factory=list)
    mark: float | None = None

    @property
    def turn(self) -> int:
        """The turn being spoken, or spoken last."""
        return max(self.speaker.spoken, default=0)

    @property
    def ended(self) -> int:
        """The last turn that every viewer has seen the end of."""
        return min((max(viewer.ended, default=0) for viewer in self.viewers), default=0)

    @property
    def in_turn(self) -> bool:
        """Whether viewers are in the middle of a turn, with motion already."""
        return bool(self.viewers) and all(
            viewer.motion_of == self.turn and self.turn not in viewer.ended for viewer in self.viewers
        )


class Lab:
    """Made by ``open_lab``: everything runs, and every viewer has seen motion."""

    def __init__(
        self,
        setup: Setup,
        store: Store,
        stack: Stack,
        backend: Backend,
        http: aiohttp.ClientSession,
        tap: Tap,
        reaper: Reaper | None = None,
    ) -> None:
        self.setup = setup
        self.store = store
        self.stack = stack
        self.backend = backend
        self.http = http
        self.tap = tap
        self._reaper = reaper
        self.talks: list[Talk] = []
        self.problems: list[str] = []
        """What was promised and did not hold, beside the frames."""
        self.notes: dict[str, Any] = {}
        """Figures worth showing."""
        self.measured_ms: list[float] = []
        """Recoveries that a story measures by itself."""
        self.tasks: TaskScope
        self._speakers: dict[str, asyncio.Task[None]] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._finished = False

    # --- conversations and viewers -------------------------------------------------------------

    async def converse(self) -> Talk:
        """One more conversation that talks, with its viewers."""
        avatar_id = f"avatar-{len(self.talks)}"
        conversation: str = (await self.backend.create(avatar_id=avatar_id)).id
        speaker = Speaker(
            self.backend, conversation,
            turn_ms=self.setup.turn_ms, chunk_ms=self.setup.chunk_ms, pace=self.setup.pace,
            pause_s=self.setup.pause_s, keep=self.setup.content,
        )  # fmt: skip
        talk = Talk(conversation, avatar_id, speaker, self.tap.follow(conversation))
        self.talks.append(talk)
        token = (await self.backend.token(conversation, ttl_s=3600)).token
        await asyncio.gather(*(self.watch(talk, index, token) for index in range(self.setup.viewers)))
        self._speakers[conversation] = self.tasks.spawn(speaker.talk(), name="speaker")
        return talk

    async def watch(self, talk: Talk, gateway: int, token: str) -> RecordingViewer:
        """One more viewer of a conversation, on this gateway first."""
        urls = self.stack.gateway_urls
        turned = gateway % len(urls)
        name = f"{talk.id}/{gateway}"
        # One or two report that they have played a turn; from hundreds it would be the load that is tested.
        viewer = RecordingViewer(
            name, urls[turned:] + urls[:turned], talk.id, token, session=self.http, reports=gateway < 2
        )
        talk.viewers.append(await viewer.__aenter__())
        self._watchers.append(self.tasks.spawn(viewer.watch(), name=f"viewer {name}"))
        return viewer

    @property
    def viewers(self) -> list[RecordingViewer]:
        """All of them."""
        return [viewer for talk in self.talks for viewer in talk.viewers]

    # --- the fault -----------------------------------------------------------------------------

    def mark(self, *talks: Talk) -> float:
        """Recovery of these conversations, without any of all, counts from now: the fault strikes or ends."""
        now = time.time()
        for talk in talks or self.talks:
            talk.mark = now
        return now

    async def owner_of(self, talk: Talk) -> Child:
        """The worker that owns a conversation."""
        owner = (await self.backend.read(talk.id)).owner
        return next(child for child in self.stack.workers if child.addresses.get("worker") == owner)

    async def owned_by(self, worker: Child) -> list[Talk]:
        """The conversations of a worker."""
        return [talk for talk in self.talks if await self.owner_of(talk) is worker]

    async def everywhere(self, *command: str | int) -> None:
        """Send every server with data a command."""
        await self.store.everywhere(*command)

    async def add_worker(self, **settings: str) -> Child:
        """Start one more worker, with settings of its own."""
        return await self.stack.add_worker(**settings)

    async def generation_of(self, talk: Talk) -> int:
        """The generation of a conversation."""
        return int((await self.backend.read(talk.id)).generation)

    # --- looking -------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], object], what: str, within_s: float = TIMEOUT_S) -> None:
        """Wait for a condition.

        Raises:
            TimeoutError: It did not come; the text names it.
        """
        await eventually(condition, within_s, what=what)

    async def steady(self) -> None:
        """Wait until every conversation is in the middle of a turn.

        What breaks the store blinds the tap, too: what was published last must not be so old that it
        is trimmed before the tap sees again.
        """
        await self.until(lambda: all(talk.in_turn for talk in self.talks), "turns with motion")

    async def turns(self, count: int, *talks: Talk, within_s: float = 20.0) -> None:
        """Wait until this number of turns that begin from now on have ended for every viewer."""
        goals = {talk.id: talk.turn + count for talk in talks or self.talks}
        await self.until(
            lambda: all(talk.ended >= goals.get(talk.id, 0) for talk in self.talks),
            f"{count} more turns",
            within_s,
        )

    def check(self, holds: object, promise: str) -> None:
        """Note a promise that does not hold."""
        if not holds:
            self.problems.append(promise)

    async def metric(self, children: list[Child], name: str, **labels: str) -> float:
        """The sum of a metric over processes."""
        return await scraped(self.http, [child.admin for child in children], name, **labels)

    def latency_ms(self, since: float, until: float) -> float | None:
        """The p99 from publishing to every viewer's record, of what was published in this time."""
        return percentile(
            (
                (one.at - talk.tape.publications[one.position].at) * 1000
                for talk in self.talks
                for viewer in talk.viewers
                for one in viewer.record
                if one.position in talk.tape.publications
                and since < talk.tape.publications[one.position].at < until
            ),
            0.99,
        )

    async def ready(self, child: Child) -> bool:
        """Whether a process answers that it is ready."""
        async with self.http.get(f"{child.admin}/readyz") as response:
            return response.status == 200

    async def simulator(self, what: str) -> Any:
        """The answer of the simulator's admin resource: ``connections`` or ``requests``."""
        assert self.stack.simulator is not None
        async with self.http.get(f"{self.stack.simulator.url}/admin/{what}") as response:
            return await response.json()

    async def reaper_looked(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the reaper beside the fault, if there is one, has looked at a key, or for this time."""
        if self._reaper is not None:
            await self._reaper.looked(timeout_s)

    # --- the end -------------------------------------------------------------------------------

    async def finish(self, timeout_s: float = TIMEOUT_S) -> None:
        """Let every speaker finish its turn, end the conversations, and wait until all viewers saw it."""
        if self._finished:
            return
        self._finished = True
        await self.reaper_looked(timeout_s)
        for talk in self.talks:
            talk.speaker.stop()
        await self._wait(list(self._speakers.values()), "the speakers to finish", timeout_s)
        try:
            await self.until(
                lambda: all(talk.ended >= talk.turn for talk in self.talks),
                "the last turn to end everywhere",
                timeout_s,
            )
        except TimeoutError as error:
            self.problems.append(str(error))
        for talk in self.talks:
            await self.backend.end(talk.id)
        await self._wait(self._watchers, "the viewers to see the end", timeout_s)
        await self.tap.read_again()
        if self._reaper is not None:
            await self._judge_reaper(self._reaper)

    async def _judge_reaper(self, reaper: Reaper) -> None:
        """Every conversation was in use: it looked at them all, and ended none."""
        self.notes["reaped"] = reaped = await reaper.stop()
        self.check(reaped["keys"], "the reaper looked at nothing")
        self.check(not (reaped["closed"] or reaped["ended"]), f"the reaper ended what was in use: {reaped}")

    async def _wait(self, tasks: list["asyncio.Task[None]"], what: str, timeout_s: float) -> None:
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        if late:
            self.problems.append(f"waited {timeout_s:g} s for {what}: {sorted(t.get_name() for t in late)}")
            for task in late:
                task.cancel()

    async def judge(self) -> Verdict:
        """Compare everything with everything. What is wrong beside the frames goes to ``problems``."""
        verdict = Verdict(measured_ms=self.measured_ms)
        requests = (await self.simulator("requests"))["requests"]
        for talk in self.talks:
            tape = talk.tape
            records = {viewer.name: viewer.record for viewer in talk.viewers}
            verdict.merge(verify(tape.publications, records, mark=talk.mark))
            if tape.conflicts:
                self.problems.append(f"{talk.id}: ids with other bytes than before: {tape.conflicts}")
            if self.setup.content:
                mine = [request for request in requests if request["avatar_id"] == talk.avatar_id]
                frames = [tape.frames[at] for at in sorted(tape.frames)]
                wrong = breaches(frames, talk.speaker.spoken, mine, self.stack.seed)
                self.problems += [f"{talk.id} {what}" for what in wrong]
            refused = talk.speaker.refused
            self.problems += [f"{talk.id}: speech refused {refused[why]} times: {why}" for why in refused]
            self.problems += [f"{talk.id}: a viewer gave up: {v.failure}" for v in talk.viewers if v.failure]
        if verdict.total("gaps") and not self.setup.gaps:
            self.problems.append(
                f"{verdict.total('gaps')} gaps were reported although no frame had to be lost"
            )
        return verdict


@asynccontextmanager
async def open_lab(setup: Setup) -> AsyncIterator[Lab]:
    """Start everything, and wait until every conversation talks with motion."""
    async with AsyncExitStack() as parts:
        store = await parts.enter_async_context(open_store(setup.topology, credentials=setup.credentials))
        login = store.credentials.settings if store.credentials else {}
        settings = {"RELAY_LOG_LEVEL": "warning", "RELAY_DRAIN_S": "3", **PRESENCE, **login, **setup.settings}
        stack = await parts.enter_async_context(
            LabStack(
                files=setup.files, unread_logs=setup.unread_logs,
                redis_url=store.url, workers=setup.workers, gateways=setup.gateways, speed=setup.speed,
                jobs=setup.jobs, settings=settings,
            )
        )  # fmt: skip
        backend = await parts.enter_async_context(Backend(stack.control.url, stack.api_key))
        connector = aiohttp.TCPConnector(limit=0)
        http = await parts.enter_async_context(aiohttp.ClientSession(connector=connector))
        tap = await parts.enter_async_context(Tap(store.tap_url, keep=setup.content))
        if setup.monitored:
            ports = await store.primary_ports()
            await parts.enter_async_context(Monitor(ports, tap.tapes, keep=setup.content))
        reaper = None
        if setup.reaped:
            reaper = await parts.enter_async_context(reaping({**settings, "RELAY_REDIS_URL": store.url}))
        lab = Lab(setup, store, stack, backend, http, tap, reaper)
        lab.tasks = await parts.enter_async_context(TaskScope())
        for _ in range(setup.conversations):
            await lab.converse()
        await lab.until(lambda: all(talk.ended for talk in lab.talks), "the first turns", 30)
        yield lab

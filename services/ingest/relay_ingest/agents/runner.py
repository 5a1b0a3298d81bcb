"""Agent runner: runs a conversation's agent beside its owner, and contains the agent's failures."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, get_args

import structlog

from relay_ingest.agents.api import Agent
from relay_ingest.agents.events import Ended, Event, Microphone, Started
from relay_ingest.agents.queue import EventQueue
from relay_ingest.agents.registry import AgentRegistry, UnknownAgent
from relay_ingest.agents.session import AgentSession
from relay_ingest.agents.speech_output import AgentTimeout, SpeechLimits, SpeechOutput
from relay_redis.errors import StoreError
from relay_runtime.tasks import first_of
from relay_settings.ingest import IngestSettings
from relay_streams.leases import Lease
from relay_streams.scripts.append_speech import SpeakerFence
from relay_streams.uplink import Uplink
from relay_telemetry.counter import counter
from relay_wire import events
from relay_wire.position import START
from relay_wire.uplink import AgentMessage

FAILURES = counter(
    "relay_agent_failures_total",
    "Agents stopped after a failure.",
    reason=("unknown_agent", "agent_timeout", "agent_failed"),
)
UNDELIVERED = counter(
    "relay_agent_undelivered_total",
    "Events of conversations whose agent had returned, was stopped or does not accept them.",
    event=[kind.__name__.lower() for kind in get_args(Event)],
)

_CHECKS_PER_TIMEOUT = 4
"""How often in ``agent_timeout_s`` the time without a read is checked."""

log = structlog.get_logger(__name__)


class AgentRunner:
    """One conversation's agent, for as long as one worker owns the conversation.

    An agent that raises or hangs is stopped, and viewers receive an ``error`` event; the conversation
    continues as with ``push``.

    Args:
        lease: The ownership of the conversation.
        registry: The agents of this worker.
        uplink: Where the agent's speech is appended.
        settings: The worker's.
        last_entry: The last uplink entry that the owner has acted on.
        publish: Publishes an event to viewers.
        is_backlogged: Whether Redis is behind with the conversation's frames.
        spawn: Starts a task that the worker owns.
    """

    def __init__(
        self,
        lease: Lease,
        *,
        registry: AgentRegistry,
        uplink: Uplink,
        settings: IngestSettings,
        last_entry: Callable[[], str],
        publish: Callable[[events.StreamEvent], None],
        is_backlogged: Callable[[], bool],
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
    ) -> None:
        self._record = lease.conversation
        self._uplink = uplink
        self._keys = lease.keys
        self._generation = lease.generation
        self._registry = registry
        self._accepted = registry.accepts(self._record.agent)
        self._publish = publish
        self._spawn = spawn
        self._timeout_s = settings.agent_timeout_s
        self._ended = False
        self._task: asyncio.Task[None] | None = None
        self._output = SpeechOutput(
            uplink,
            lease.keys,
            sample_rate=self._record.sample_rate,
            fence=lambda: SpeakerFence(lease.generation, last_entry()),
            limits=SpeechLimits(
                chunk_s=settings.agent_timeout_s,
                speech_s=settings.agent_speech_s,
                wait_s=settings.input_timeout_s,
            ),
            spawn=spawn,
        )
        self._session = AgentSession(
            conversation=self._record.id,
            sample_rate=self._record.sample_rate,
            queue=EventQueue(limit_events=settings.agent_events, limit_bytes=settings.agent_inbox_bytes),
            output=self._output,
            publish=publish,
            is_backlogged=is_backlogged,
        )

    def start(self) -> None:
        """End the turn that a former owner's agent left open, and start the agent."""
        self._output.end_former_turn(self._record)
        self._session.enqueue(Started(resumed=self._record.last_position != START))
        self._task = self._spawn(self._run())

    def enqueue(self, event: Event) -> None:
        """Pass an event to the agent, if it runs and accepts the event."""
        if self._task is None or self._task.done() or not self._accepts(event):
            UNDELIVERED.labels(type(event).__name__.lower()).inc()
            return
        if isinstance(event, Microphone) and not event.sample_rate:
            event = Microphone(event.pcm, event.end, self._record.sample_rate)
        self._ended = isinstance(event, Ended)
        self._session.enqueue(event)

    def _accepts(self, event: Event) -> bool:
        return not isinstance(event, AgentMessage) or type(event) in self._accepted

    def stop(self) -> None:
        """Cancel the agent; after the conversation's end, only when ``agent_timeout_s`` has passed. Safe to
        call again.
        """
        if self._task is None:
            return
        if self._ended:
            asyncio.get_running_loop().call_later(self._timeout_s, self._task.cancel)
        else:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            agent = self._registry.create(self._record.agent)
            await first_of(agent=self._run_agent(agent), watchdog=self._watch_reads())
        except UnknownAgent:
            self._fail("unknown_agent", "the conversation's agent is not installed here")
        except AgentTimeout as error:
            self._fail("agent_timeout", f"the conversation's agent was stopped: {error}")
        except Exception as error:  # noqa: BLE001  # an agent may raise anything
            self._fail("agent_failed", "the conversation's agent failed")
            # A traceback is read from source files.
            await asyncio.to_thread(
                log.error,
                "agent raised",
                agent=self._record.agent,
                conversation=self._record.id,
                exc_info=error,
            )
        await self._stop_accepting()

    async def _stop_accepting(self) -> None:
        """Let gateways inform viewers from now on: the agent has failed, or returned before the end."""
        if self._accepted and not self._ended:
            self._accepted = frozenset()
            with suppress(StoreError):
                await self._uplink.stop_agent(self._keys, generation=self._generation)

    async def _run_agent(self, agent: Agent) -> None:
        try:
            await agent.run(self._session)
        except SystemExit as error:
            # It would end the worker: an event loop passes it on at once.
            raise RuntimeError("the agent called for the process to exit") from error

    async def _watch_reads(self) -> None:
        while True:
            await asyncio.sleep(self._timeout_s / _CHECKS_PER_TIMEOUT)
            if self._session.unread_s() > self._timeout_s:
                raise AgentTimeout("it does not read its events")

    def _fail(self, code: str, text: str) -> None:
        FAILURES.labels(code).inc()
        log.warning("agent stopped", conversation=self._record.id, agent=self._record.agent, code=code)
        self._publish(events.Error(code, text, retryable=False))

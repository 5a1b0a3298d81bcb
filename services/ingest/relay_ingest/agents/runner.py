"""The host: runs a conversation's agent beside its owner, and keeps what it does wrong from harming it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, get_args

import structlog

from relay_ingest.agents.api import Agent
from relay_ingest.agents.events import Ended, Event, Started
from relay_ingest.agents.queue import EventQueue
from relay_ingest.agents.registry import AgentRegistry, UnknownAgent
from relay_ingest.agents.session import AgentSession
from relay_ingest.agents.speech_output import Overdue, SpeechLimits, SpeechOutput
from relay_runtime.tasks import first_of
from relay_settings.ingest import IngestSettings
from relay_streams.leases import Lease
from relay_streams.uplink import SpeakerFence, Uplink
from relay_telemetry.counter import counter
from relay_wire import events
from relay_wire.position import START

FAILURES = counter(
    "relay_agent_failures_total",
    "Agents that were stopped.",
    reason=("unknown_agent", "agent_timeout", "agent_failed"),
)
UNHEARD = counter(
    "relay_agent_unheard_total",
    "Events that no agent was there to hear.",
    event=[kind.__name__.lower() for kind in get_args(Event)],
)

_LOOKS = 4
"""How often per ``agent_timeout_s`` is looked for neglected events."""

log = structlog.get_logger(__name__)


class AgentRunner:
    """One conversation's agent, during one owner's term. It starts at once.

    An agent that raises or hangs is stopped and told of with an ``error`` event; the conversation goes on
    as with ``push``.

    Args:
        lease: The term.
        catalog: The agents there are.
        uplink: Where it speaks.
        settings: The worker's.
        heard: The last up entry that the owner acted on.
        publish: Publishes an event of its own.
        is_behind: Whether the store is behind with what was published.
        spawn: Starts a task that the worker owns.
    """

    def __init__(
        self,
        lease: Lease,
        *,
        catalog: AgentRegistry,
        uplink: Uplink,
        settings: IngestSettings,
        heard: Callable[[], str],
        publish: Callable[[events.StreamEvent], None],
        is_behind: Callable[[], bool],
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
    ) -> None:
        record = lease.conversation
        self._name = record.agent
        self._catalog = catalog
        self._publish = publish
        self._ended = False
        self._timeout_s = settings.agent_timeout_s
        voice = SpeechOutput(
            uplink,
            lease.keys,
            sample_rate=record.sample_rate,
            term=lambda: SpeakerFence(lease.generation, heard()),
            limits=SpeechLimits(
                chunk_s=settings.agent_timeout_s,
                speech_s=settings.agent_speech_s,
                wait_s=settings.input_timeout_s,
            ),
            spawn=spawn,
        )
        voice.close_former(record)
        self._stage = AgentSession(
            conversation=record.id,
            sample_rate=record.sample_rate,
            inbox=EventQueue(limit_events=settings.agent_events, limit_bytes=settings.agent_inbox_bytes),
            voice=voice,
            publish=publish,
            is_behind=is_behind,
        )
        self._stage.hear(Started(resumed=record.tail != START))
        self._task = spawn(self._run())

    def hear(self, event: Event) -> None:
        """Let the agent know of something, if there is one."""
        if self._task.done():
            UNHEARD.labels(type(event).__name__.lower()).inc()
            return
        self._ended = isinstance(event, Ended)
        self._stage.hear(event)

    def stop(self) -> None:
        """The term is over: the agent is cancelled. After the conversation's end it may finish first, within
        ``agent_timeout_s``. Safe to call again.
        """
        if self._ended:
            asyncio.get_running_loop().call_later(self._timeout_s, self._task.cancel)
        else:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            agent = self._catalog.make(self._name)
            await first_of(agent=self._converse(agent), watch=self._watch())
        except UnknownAgent:
            self._fail("unknown_agent", "the conversation's agent is not installed here")
        except Overdue as overdue:
            self._fail("agent_timeout", f"the conversation's agent was stopped: {overdue}")
        except Exception as error:  # noqa: BLE001  # an agent's defects are its own
            self._fail("agent_failed", "the conversation's agent failed")
            # A traceback is read from source files.
            await asyncio.to_thread(
                log.error, "an agent raised", agent=self._name, conversation=self._stage.conversation,
                exc_info=error,
            )  # fmt: skip

    async def _converse(self, agent: Agent) -> None:
        try:
            await agent.converse(self._stage)
        except SystemExit as error:
            # It would end the worker: an event loop passes it on at once.
            raise RuntimeError("the agent called for the process to exit") from error

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._timeout_s / _LOOKS)
            if self._stage.neglected_s() > self._timeout_s:
                raise Overdue("it does not read its events")

    def _fail(self, code: str, text: str) -> None:
        FAILURES.labels(code).inc()
        log.warning(
            "the agent was stopped", conversation=self._stage.conversation, agent=self._name, code=code
        )
        self._publish(events.Error(code, text, retryable=False))

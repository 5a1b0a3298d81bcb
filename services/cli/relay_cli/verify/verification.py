"""Verification: conversations speak in a running relay, viewers watch, and everything is compared."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from relay_cli.verify.conversation import ConversationRun
from relay_cli.verify.simulator_log import SimulatorLog
from relay_cli.verify.speaker import Speech
from relay_cli.verify.tally import Tally
from relay_cli.verify.watcher import Watcher
from relay_client import (
    Backend,
    BackendError,
    ControlUnavailable,
    Conversation,
    Refused,
    RequestRefused,
    ViewerError,
)

CONNECT_TIMEOUT_S = 10.0
"""Longest wait for the first connection to control, and of a viewer to its gateway."""
_UNAUTHORIZED = (401, 403)


class CannotRun(Exception):
    """Raised when the verification cannot begin; the text names the setting, and the fix."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command line.

    Attributes:
        control_url: Base URL of control.
        api_key: An API key with the scopes create, push and tokens.
        gateway_urls: Base URLs of gateways; empty: the one that control returns.
        simulator_url: Base URL of the simulator; empty: motion is compared between viewers only.
        conversations: Conversations that speak at a time.
        viewers: Viewers of each.
        turns: Turns of each, unless ``duration_s`` is given.
        duration_s: How long turns are begun; None: as many as ``turns``.
        turn_ms: Length of a turn.
        turn_timeout_s: Longest wait for a turn to reach every viewer, beyond its own length.
        give_up_s: How long a connection may fail before it counts as ended for good.
        cut: Cut one connection of each conversation in the middle of a turn.
        label: Names this run in its report.
    """

    control_url: str
    api_key: str
    gateway_urls: tuple[str, ...] = ()
    simulator_url: str = ""
    conversations: int = 2
    viewers: int = 2
    turns: int = 2
    duration_s: float | None = None
    turn_ms: int = 3000
    turn_timeout_s: float = 60.0
    give_up_s: float = 120.0
    cut: bool = True
    label: str = ""


class Verification:
    """One run.

    Args:
        options: The options.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._tally = Tally()
        self._speech = Speech(options.turn_ms)
        self._watchers: list[Watcher] = []
        self._began_at = 0.0
        self._began = asyncio.Event()
        self._stopped = False

    def stop(self) -> None:
        """Begin no further turn: turns that are being spoken end, and everything is compared."""
        self._stopped = True

    async def run(self) -> dict[str, Any]:
        """Run, and return the report; ``ok`` is whether everything arrived once, in order and unchanged.

        Raises:
            CannotRun: Control or a gateway cannot be reached or refuses, before the first turn.
        """
        options = self._options
        started = datetime.now(UTC)
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=0)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            backend = Backend(
                options.control_url, options.api_key, give_up_s=options.give_up_s, session=session
            )
            log = await self._open_log(session)
            opened = [
                await self._open(stack, number, backend, session, log)
                for number in range(1, options.conversations + 1)
            ]
            self._began_at = time.monotonic()
            self._began.set()
            async with asyncio.TaskGroup() as tasks:
                for conversation in opened:
                    tasks.create_task(conversation.run(self._goes_on))
        return {
            "label": options.label,
            "started": started.isoformat(timespec="milliseconds"),
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "conversations": options.conversations,
            "viewers": options.conversations * options.viewers,
            **self._tally.as_json(),
        }

    async def until_received(self) -> int:
        """Wait until every viewer has received a frame of a turn; returns their number."""
        await self._began.wait()
        for watcher in self._watchers:
            await watcher.until_received()
        return len(self._watchers)

    def progress(self) -> str:
        """One line on the state of the run."""
        tally, options = self._tally, self._options
        if not self._began.is_set():
            return f"connecting {options.conversations} conversations, {options.viewers} viewers each"
        elapsed_s = time.monotonic() - self._began_at
        frames = sum(watcher.order.frames for watcher in self._watchers)
        reconnects = sum(watcher.reconnects for watcher in self._watchers)
        return (
            f"{elapsed_s:.0f} s: {tally.turns} turns, {frames} frames, {reconnects} reconnects,"
            f" {tally.audio_only} turns without motion, {tally.failed} failures"
        )

    def _goes_on(self, spoken: int) -> bool:
        duration_s = self._options.duration_s
        if self._stopped:
            return False
        if duration_s is None:
            return spoken < self._options.turns
        return not spoken or time.monotonic() - self._began_at < duration_s

    # --- the start ------------------------------------------------------------------------------

    async def _open(
        self,
        stack: AsyncExitStack,
        number: int,
        backend: Backend,
        session: aiohttp.ClientSession,
        log: SimulatorLog | None,
    ) -> ConversationRun:
        options = self._options
        conversation, token = await self._create(session)
        stack.push_async_callback(_end, backend, conversation.id)
        urls = list(options.gateway_urls) or [_base(conversation)]
        watchers = []
        for index in range(options.viewers):
            turned = index % len(urls)
            watcher = Watcher(
                f"viewer {index + 1}",
                urls[turned:] + urls[:turned],
                conversation.id,
                token,
                give_up_s=options.give_up_s,
                session=session,
            )
            stack.push_async_callback(watcher.close)
            await self._connect(watcher, urls[turned])
            watchers.append(watcher)
        self._watchers += watchers
        return ConversationRun(
            number,
            conversation.id,
            backend,
            self._speech,
            watchers,
            self._tally,
            simulator_log=log,
            turn_timeout_s=options.turn_timeout_s,
            cut=options.cut,
        )

    async def _create(self, session: aiohttp.ClientSession) -> tuple[Conversation, str]:
        options = self._options
        first = Backend(options.control_url, options.api_key, give_up_s=CONNECT_TIMEOUT_S, session=session)
        try:
            conversation = await first.create(sample_rate=self._speech.sample_rate)
            return conversation, (await first.token(conversation.id)).token
        except RequestRefused as error:
            if error.status in _UNAUTHORIZED:
                raise CannotRun(
                    f"control refuses the key: {error.detail}: RELAY_API_KEY must have the scopes create,"
                    " push and tokens, and its entry must be in control's RELAY_API_KEYS"
                ) from None
            raise CannotRun(f"control at {options.control_url} refuses: {error}") from None
        except (ControlUnavailable, aiohttp.InvalidURL) as error:
            raise CannotRun(
                f"control cannot be reached at {options.control_url}: {error}; set RELAY_CONTROL_URL"
            ) from None

    async def _connect(self, watcher: Watcher, url: str) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await watcher.__aenter__()
        except Refused as error:
            raise CannotRun(f"the gateway at {url} refuses a viewer: {error}") from None
        except (TimeoutError, ViewerError, aiohttp.InvalidURL):
            named = (
                "--gateway-url names" if self._options.gateway_urls else "control names (RELAY_GATEWAY_URL)"
            )
            raise CannotRun(
                f"the gateway cannot be reached at {url}, which {named}: give the address that is reachable"
                " from here with --gateway-url"
            ) from None

    async def _open_log(self, session: aiohttp.ClientSession) -> SimulatorLog | None:
        if not self._options.simulator_url:
            return None
        log = SimulatorLog(self._options.simulator_url, session)
        try:
            await log.read("none")
        except OSError as error:
            raise CannotRun(
                f"the simulator cannot be reached at {self._options.simulator_url}: {error}; correct"
                " --simulator, or leave it out"
            ) from None
        return log


async def _end(backend: Backend, conversation: str) -> None:
    """End a conversation, also one whose run did not get to it; a second time has no effect."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await backend.end(conversation)
    except (BackendError, TimeoutError):
        pass


def _base(conversation: Conversation) -> str:
    """The gateway's base URL, from the URL of the conversation's stream."""
    return conversation.stream_url.removesuffix(f"/v1/conversations/{conversation.id}/stream")

"""Renewals: viewers that stay get a new token before theirs expires, so that all of them can come back."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from relay_auth.viewer_tokens import Grant, TokenError, ViewerTokens
from relay_telemetry.counter import counter
from relay_wire import events

EARLIEST, LATEST = 0.4, 0.6
"""Parts of a token's life after which it is renewed: those made at once are not renewed at once."""
SHORTEST_S = 1.0
"""Between two renewals for one viewer."""

RENEWALS = counter(
    "relay_gateway_token_renewals_total",
    "Tokens of viewers that were to be renewed, by what became of it.",
    outcome=("renewed", "refused"),
)

log = structlog.get_logger(__name__)


class Renewal:
    """One viewer's token.

    Args:
        grant: What it allows.
        say: Sends an event to the viewer.
    """

    def __init__(self, grant: Grant, say: Callable[[events.GatewayEvent], None]) -> None:
        self.grant = grant
        self.say = say
        self.timer: asyncio.TimerHandle | None = None


class Renewals:
    """All viewers' tokens. A token that cannot be renewed is left to expire; its socket stays.

    Args:
        tokens: Makes them.
        max_life_s: How long after the first token the last one of a viewer may expire; 0: none is renewed.
    """

    def __init__(self, tokens: ViewerTokens, max_life_s: float) -> None:
        self._tokens = tokens
        self._max_life_s = max_life_s
        self._viewers: set[Renewal] = set()
        self._due = asyncio.Queue[Renewal]()  # each viewer is in it once at most

    @contextmanager
    def keep(self, grant: Grant, say: Callable[[events.GatewayEvent], None]) -> Iterator[None]:
        """Renew a viewer's token, as often as need be, while the block runs."""
        viewer = Renewal(grant, say)
        self._viewers.add(viewer)
        self._plan(viewer)
        try:
            yield
        finally:
            self._viewers.discard(viewer)
            if viewer.timer is not None:
                viewer.timer.cancel()

    async def run(self) -> None:
        """Renew what is due until cancelled."""
        while True:
            await self._renew(await self._due.get())

    async def renew_before(self, moment: float) -> None:
        """Renew every token that expires before this moment, in seconds since the epoch."""
        for viewer in [one for one in self._viewers if one.grant.expires_at < moment]:
            await self._renew(viewer)

    async def _renew(self, viewer: Renewal) -> None:
        if viewer not in self._viewers:
            return
        try:
            token, grant = await self._tokens.renew(viewer.grant, max_life_s=self._max_life_s)
        except TokenError as error:
            RENEWALS.labels("refused").inc()
            log.debug("a token is not renewed", conversation=viewer.grant.conversation, why=str(error))
            return
        RENEWALS.labels("renewed").inc()
        viewer.grant = grant
        viewer.say(events.TokenRenewed(token, grant.expires_at))
        self._plan(viewer)

    def _plan(self, viewer: Renewal) -> None:
        if viewer.timer is not None:
            viewer.timer.cancel()
        left_s = viewer.grant.expires_at - time.time()
        wait_s = max(SHORTEST_S, left_s * random.uniform(EARLIEST, LATEST))  # noqa: S311  # it spreads load
        viewer.timer = asyncio.get_running_loop().call_later(wait_s, self._due.put_nowait, viewer)

"""Renewals: a connected viewer gets a new token before its old one expires, so that it can reconnect."""

import asyncio
import random
import time
from typing import Protocol

import structlog

from relay_auth.viewer_tokens import Grant, TokenError, ViewerTokens
from relay_gateway.schedule import Schedule
from relay_telemetry.counter import counter
from relay_wire import events

EARLIEST, LATEST = 0.4, 0.6
"""Parts of a token's lifetime after which it is renewed, at random: tokens of one moment differ."""
SHORTEST_S = 1.0
"""The shortest time between two renewals for one viewer."""
_TICK_S = 0.5

RENEWALS = counter(
    "relay_gateway_token_renewals_total",
    "Renewals of viewers' tokens, by outcome.",
    outcome=("renewed", "refused"),
)

log = structlog.get_logger(__name__)


class Recipient(Protocol):
    """The receiver of a new token."""

    def send_event(self, event: events.GatewayEvent) -> None:
        """Send an event."""


class Renewal:
    """One viewer's current token.

    Args:
        viewer: Receives the next one.
        grant: What the token allows.
    """

    __slots__ = ("grant", "tick", "viewer")

    def __init__(self, viewer: Recipient, grant: Grant) -> None:
        self.viewer: Recipient | None = viewer
        """None once it has left."""
        self.grant = grant
        self.tick = 0
        """Its tick in the schedule."""


class Renewals:
    """All viewers' tokens. A token that cannot be renewed expires; its socket stays open.

    Args:
        tokens: Signs the new tokens.
        max_life_s: How long after a viewer's first token its last one may expire; 0: no token is renewed.
    """

    def __init__(self, tokens: ViewerTokens, max_life_s: float) -> None:
        self._tokens = tokens
        self._max_life_s = max_life_s
        self._scheduled = Schedule[Renewal](_TICK_S)
        self._refused = set[Renewal]()
        """Tried again only before a drain."""

    def __len__(self) -> int:
        """The number of tokens that are renewed or were refused."""
        return len(list(self._scheduled)) + len(self._refused)

    def add(self, viewer: Recipient, grant: Grant) -> Renewal:
        """Renew a viewer's token as often as necessary; pair with ``remove``."""
        renewal = Renewal(viewer, grant)
        self._plan(renewal)
        return renewal

    def remove(self, renewal: Renewal) -> None:
        """Renew this token no more."""
        renewal.viewer = None
        self._scheduled.remove(renewal, renewal.tick)
        self._refused.discard(renewal)

    async def run(self) -> None:
        """Renew the tokens that are due until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_TICK_S)
            while (renewal := self._scheduled.pop(now())) is not None:
                await self._renew(renewal)

    async def renew_before(self, moment: float) -> None:
        """Renew every token that expires before this moment, in seconds since the epoch."""
        for renewal in (*self._scheduled, *self._refused):
            if renewal.grant.expires_at < moment:
                self._scheduled.remove(renewal, renewal.tick)
                self._refused.discard(renewal)
                await self._renew(renewal)

    async def _renew(self, renewal: Renewal) -> None:
        if renewal.viewer is None:
            return
        try:
            token, grant = await self._tokens.renew(renewal.grant, max_life_s=self._max_life_s)
        except TokenError as error:
            RENEWALS.labels("refused").inc()
            log.debug("token not renewed", conversation=renewal.grant.conversation, error=str(error))
            if renewal.viewer is not None:
                self._refused.add(renewal)
            return
        RENEWALS.labels("renewed").inc()
        renewal.grant = grant
        if renewal.viewer is not None:
            renewal.viewer.send_event(events.TokenRenewed(token, grant.expires_at))
            self._plan(renewal)

    def _plan(self, renewal: Renewal) -> None:
        left_s = renewal.grant.expires_at - time.time()
        wait_s = max(SHORTEST_S, left_s * random.uniform(EARLIEST, LATEST))  # noqa: S311  # it spreads load
        renewal.tick = self._scheduled.add(renewal, asyncio.get_running_loop().time() + wait_s)

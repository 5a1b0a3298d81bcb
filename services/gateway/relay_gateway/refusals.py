"""Refusals of viewers that an operator can correct are logged: a page receives a status at most."""

from typing import Literal

import structlog
from aiohttp import hdrs, web

from relay_telemetry.throttle import Throttle
from relay_wire import problems
from relay_wire.problems import Problem, ProblemType

_ORIGIN_CHARACTERS = 200
"""Most of a foreign origin that is logged."""

log = structlog.get_logger(__name__)


class ViewerRefusal(Problem):
    """Raised to refuse a viewer for its origin or its token.

    Args:
        kind: The registered kind.
        detail: As for ``Problem``; one of a fixed set of texts.
        cause: What is refused.
        setting: The setting by which an operator can correct it; empty: none.
    """

    def __init__(
        self, kind: ProblemType, detail: str, *, cause: Literal["origin", "token"], setting: str = ""
    ) -> None:
        super().__init__(kind, detail)
        self.cause = cause
        self.setting = setting


class RefusalLog:
    """Logs refused origins, tokens and upgrades: each reason once per interval, with the number of others."""

    def __init__(self) -> None:
        self._throttle = Throttle()

    def note(self, request: web.Request, error: Exception) -> None:
        """Log a refusal, unless it has another cause or its reason was logged just now."""
        cause, setting = "upgrade", ""
        if isinstance(error, ViewerRefusal):
            cause, setting = error.cause, error.setting
        elif not isinstance(error, Problem) or error.kind is not problems.UPGRADE_REQUIRED:
            return
        suppressed = self._throttle.admit(f"{setting} {error.detail}")
        if suppressed is None:
            return
        fields = {"setting": setting} if setting else {}
        if origin := request.headers.get(hdrs.ORIGIN):
            fields["origin"] = origin[:_ORIGIN_CHARACTERS]
        log.warning("viewer refused", cause=cause, reason=error.detail, suppressed=suppressed, **fields)

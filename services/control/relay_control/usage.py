"""The usage report: what the conversations of an API key used, as JSON or CSV."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec
from aiohttp import hdrs, web

from relay_auth.api_keys import Scope
from relay_control.access import ADMIN, KEY
from relay_control.operation import Operation, Parameter
from relay_control.responses import DailyUsage, UsageResponse, json_response
from relay_redis.client import RedisClient
from relay_settings.control import ControlSettings
from relay_streams import usage
from relay_streams.keys import KeySpace
from relay_wire import problems
from relay_wire.problems import Problem

CSV = "text/csv"
_DEFAULT_DAYS = 30
_DAY = {"type": "string", "format": "date"}


class UsageReport:
    """The resource ``/v1/usage``.

    Args:
        settings: Control's settings.
        client: The Redis client.
    """

    def __init__(self, settings: ControlSettings, client: RedisClient) -> None:
        self._keys = KeySpace.of(settings)
        self._client = client

    def operations(self) -> list[Operation]:
        """The operations of the resource."""
        return [
            Operation(
                "GET", "/v1/usage", self._usage, Scope.CREATE, "Read usage by day", 200, UsageResponse,
                texts=(CSV,),
                parameters=(
                    Parameter("from", "query", "The first UTC day; by default 29 days before `to`.", _DAY),
                    Parameter("to", "query", "The last UTC day; by default today.", _DAY),
                ),
                problems=(problems.INVALID_FIELD,),
                description=f"At most {usage.MAX_DAYS} days. A key with the scope `admin` gets the usage of"
                " every key, any other its own. Counted by the jobs service: without it there is none.",
            ),
        ]  # fmt: skip

    async def _usage(self, request: web.Request) -> web.Response:
        days = _days(request)
        app = None if request[ADMIN] else request[KEY]
        rows = [DailyUsage.of(row) for row in await usage.read(self._client, self._keys, days, app)]
        if _prefers_csv(request):
            return web.Response(body=_csv(rows), content_type=CSV, charset="utf-8")
        return json_response(UsageResponse(tuple(rows)))


def _days(request: web.Request) -> list[str]:
    last = _day(request, "to") or datetime.now(UTC).date()
    try:
        first = _day(request, "from") or last - timedelta(days=_DEFAULT_DAYS - 1)
    except OverflowError:
        first = date.min
    if not 0 <= (last - first).days < usage.MAX_DAYS:
        detail = f"from, to: 1 to {usage.MAX_DAYS} days, in order"
        raise Problem(problems.INVALID_FIELD, detail, field="from")
    return usage.days_between(first, last)


def _day(request: web.Request, name: str) -> date | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        return msgspec.convert(text, date)
    except msgspec.ValidationError:
        detail = f"{name}: a day as 2026-01-31"
        raise Problem(problems.INVALID_FIELD, detail, field=name) from None


def _prefers_csv(request: web.Request) -> bool:
    """Whether the client names CSV, and JSON not before it."""
    accepted = [
        part.partition(";")[0].strip().lower() for part in request.headers.get(hdrs.ACCEPT, "").split(",")
    ]
    return CSV in accepted and "application/json" not in accepted[: accepted.index(CSV)]


def _csv(rows: Sequence[DailyUsage]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(DailyUsage.__struct_fields__)
    writer.writerows(msgspec.structs.astuple(row) for row in rows)
    return text.getvalue().encode()

"""Scrape: one round of requests to the admin ports."""

import asyncio
import os
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import aiohttp

from relay_cli.top.history import Answer
from relay_cli.top.scraped import Scraped, ScrapeError
from relay_cli.top.targets import Target, Unresolved

TIMEOUT_S = 3.0
"""Longest wait for a target."""


async def scrape(http: aiohttp.ClientSession, targets: Iterable[Target | Unresolved]) -> dict[str, Answer]:
    """Read every target at once; by the targets' names. Never raises: a failure is an answer, too."""
    listed = list(targets)
    answers = await asyncio.gather(*(_answer(http, target) for target in listed))
    return {target.name: answer for target, answer in zip(listed, answers, strict=True)}


async def _answer(http: aiohttp.ClientSession, target: Target | Unresolved) -> Answer:
    if isinstance(target, Unresolved):
        return Answer(away=target.why)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            scraped = await _metrics(http, target)
            readiness = await _readiness(http, target)
    except TimeoutError:
        return Answer(away=f"no answer within {TIMEOUT_S:.0f} s")
    except (aiohttp.ClientError, ScrapeError, ValueError) as error:
        return Answer(away=_reason(error))
    return Answer(
        scraped=scraped,
        ready=readiness.get("status") == "ready" if readiness else None,
        reasons=_texts(readiness.get("reasons")),
        degraded=_texts(readiness.get("degraded")),
    )


async def _metrics(http: aiohttp.ClientSession, target: Target) -> Scraped:
    async with http.get(target.url / "metrics", server_hostname=target.host or None) as response:
        if response.status != HTTPStatus.OK:
            raise ScrapeError(f"/metrics returns status {response.status}")
        return Scraped.parse(await response.text())


async def _readiness(http: aiohttp.ClientSession, target: Target) -> dict[str, Any]:
    async with http.get(target.url / "readyz", server_hostname=target.host or None) as response:
        if response.status not in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE):
            return {}
        body = await response.json(content_type=None)
        return body if isinstance(body, dict) else {}


def _texts(reasons: Any) -> dict[str, str]:
    return {str(part): str(text) for part, text in reasons.items()} if isinstance(reasons, dict) else {}


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return os.strerror(error.errno) if error.errno else str(error)
    return str(error) or type(error).__name__

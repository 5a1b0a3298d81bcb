"""``avatar-relay top``: rounds of scrapes, each drawn or printed."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.live import Live

from relay_cli.top.history import History
from relay_cli.top.problems import Problem, problems
from relay_cli.top.scrape import scrape
from relay_cli.top.screen import picture, screen
from relay_cli.top.targets import Sources, TargetError, target, targets
from relay_cli.top.view import View, view
from relay_settings.environment import variable


def sources(urls: Iterable[str], files: Iterable[Path], names: Iterable[str]) -> Sources:
    """What the options name; without any, ``RELAY_TOP_TARGETS``, then the admin port in our environment.

    Raises:
        TargetError: A target cannot be read, or there is none.
        SettingsError: A file of secrets cannot be read.
    """
    given = Sources(tuple(targets(urls)), tuple(files), tuple(map(target, names)))
    if given:
        return given
    port = variable("RELAY_ADMIN_PORT")
    local = f"127.0.0.1:{port}" if port not in (None, "0") else ""
    found = Sources(tuple(targets([variable("RELAY_TOP_TARGETS") or local])))
    if not found:
        raise TargetError(
            "name the admin ports: --target URL, --targets-file FILE, --dns NAME:PORT or RELAY_TOP_TARGETS;"
            " a process prints its own as `admin` when it is ready"
        )
    return found


async def run_top(
    where: Sources, console: Console, *, interval_s: float, window_s: float, sample_rate: int
) -> None:
    """Draw a view in each interval until cancelled."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        rounds = _views(where, interval_s=interval_s, window_s=window_s, sample_rate=sample_rate)
        async with aclosing(rounds):
            async for shown in rounds:
                live.update(_drawn(shown), refresh=True)


async def print_once(
    where: Sources,
    console: Console,
    *,
    interval_s: float,
    sample_rate: int,
    as_json: bool = False,
    svg: Path | None = None,
) -> bool:
    """Print the view of two rounds, ``interval_s`` apart; with ``svg`` write it there, too.

    Returns:
        Whether nothing in it is critical.
    """
    rounds = _views(where, interval_s=interval_s, window_s=interval_s, sample_rate=sample_rate)
    async with aclosing(rounds):
        await anext(rounds)
        shown = await anext(rounds)
    found = problems(shown)
    if svg:
        _save(shown, svg)
    if as_json:
        print(json.dumps(report(shown, found)))
    else:
        console.print(_drawn(shown))
    return not any(problem.severity == "critical" for problem in found)


def report(shown: View, found: list[Problem]) -> dict[str, Any]:
    """A view as one JSON object, with its problems."""
    return {"problems": [asdict(problem) for problem in found], **asdict(shown)}


async def _views(
    where: Sources, *, interval_s: float, window_s: float, sample_rate: int
) -> AsyncGenerator[View, None]:
    history = History(window_s)
    clock = asyncio.get_running_loop().time
    async with aiohttp.ClientSession() as http:
        while True:
            began = clock()
            answers = await scrape(http, await where.targets())
            yield view(history.add(began, answers), sample_rate=sample_rate)
            await asyncio.sleep(max(0.0, began + interval_s - clock()))


def _save(shown: View, path: Path) -> None:
    path.write_text(picture(_drawn(shown)))


def _drawn(shown: View) -> Any:
    return screen(shown, problems(shown), clock=time.strftime("%H:%M:%S"))

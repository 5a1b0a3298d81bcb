"""``python -m tests.e2e.draw_dashboards`` runs a session and draws each dashboard from its Prometheus."""

import argparse
import asyncio
from pathlib import Path

import uvloop
from scripts.dashboards.draw import Answer, Line, Span, draw
from scripts.dashboards.saved import SavedPanel, boards
from tests.e2e.session import Session, session

from relay_redis.local_server import LocalServer

FOLDER = Path(__file__).parents[2] / "docs" / "images"
_INTERVAL = "5s"
_SHOWN = "5m"


async def run(folder: Path) -> None:
    """Run, ask and draw."""
    settings = {"RELAY_OTLP_ENDPOINT": "http://127.0.0.1:9", "RELAY_TRACE_RATIO": "1"}
    server = LocalServer()
    await asyncio.to_thread(server.__enter__)
    try:
        async with session(server.url, settings, jobs=True) as ran:
            span = Span(ran.start, ran.end, ran.killed)
            for board in boards():
                answers = {panel.title: await _answer(ran, panel) for panel in board.panels}
                draw(folder / f"dashboard-{board.uid}.png", board, answers, span)
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


async def _answer(ran: Session, panel: SavedPanel) -> Answer:
    """What Grafana would get for a panel."""
    lines: list[Line] = []
    exemplars: set[tuple[float, float]] = set()
    for query in panel.queries:
        expr = query.sent(_INTERVAL, _SHOWN)
        found = await ran.prometheus.over(expr, ran.start, ran.end)
        lines += [Line(query.named(series.labels), series.values) for series in found]
        if query.exemplar:
            for one in await ran.prometheus.exemplars(expr, ran.start, ran.end):
                exemplars.add((float(one["timestamp"]), float(one["value"])))
    return Answer(lines, sorted(exemplars))


def main() -> None:
    """Draw into the documentation's images."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.draw_dashboards", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures go")
    uvloop.run(run(parser.parse_args().folder))


if __name__ == "__main__":
    main()

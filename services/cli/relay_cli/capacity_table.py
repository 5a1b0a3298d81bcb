"""Plans of capacity as a table with their costs, and as figures for scripts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from relay_cli.capacity import REDIS_UTILISATION, Costs, Demand, Plan

_ROWS: tuple[tuple[str, Callable[[Plan], str]] | None, ...] = (
    ("frames published a second", lambda plan: _count(plan.published_per_s)),
    ("frames delivered a second", lambda plan: _count(plan.delivered_per_s)),
    None,
    ("gateway processes", lambda plan: _count(plan.gateway.processes)),
    ("ingest processes", lambda plan: _count(plan.ingest.processes)),
    ("control processes", lambda plan: _count(plan.control.processes)),
    ("Redis shards", lambda plan: _count(plan.redis.processes)),
    None,
    ("gateway cores", lambda plan: _cores(plan.gateway.cores)),
    ("ingest cores", lambda plan: _cores(plan.ingest.cores)),
    ("control cores", lambda plan: _cores(plan.control.cores)),
    ("Redis cores", lambda plan: _cores(plan.redis.cores)),
    ("cores", lambda plan: _cores(plan.cores)),
    ("cores per 1,000 conversations", lambda plan: f"{plan.cores_per_1000:,.2f}"),
    None,
    ("gateways: GB for connections", lambda plan: _gb(plan.connections_bytes)),
    ("Redis: GB of frames", lambda plan: _gb(plan.retained_bytes)),
    ("out of gateways, Mbit/s", lambda plan: _count(plan.network_mbit_per_s)),
    ("viewers per gateway", lambda plan: _count(plan.viewers_per_gateway)),
    ("conversations per ingest", lambda plan: _count(plan.conversations_per_ingest)),
)
"""The text of a row; None is a line between groups."""


def show(plans: Sequence[Plan], costs: Costs, sources: Mapping[str, str], console: Console) -> None:
    """Print the plans, their assumptions, and each cost with its source."""
    console.print(_plans(plans))
    for sentence in _assumptions(plans[0].demand):
        console.print(f"- {sentence}", highlight=False)
    console.print(_costs(costs, sources))


def figures(plans: Sequence[Plan], costs: Costs, sources: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object: ``plans``, ``costs`` and ``sources``."""
    return {"plans": [_figures(plan) for plan in plans], "costs": asdict(costs), "sources": dict(sources)}


def _plans(plans: Sequence[Plan]) -> Table:
    shown = Table("conversations", box=box.SIMPLE_HEAD)
    for plan in plans:
        shown.add_column(_count(plan.demand.conversations), justify="right")
    for row in _ROWS:
        if row is None:
            shown.add_section()
        else:
            shown.add_row(row[0], *(row[1](plan) for plan in plans))
    return shown


def _assumptions(demand: Demand) -> Iterator[str]:
    yield (
        f"Viewers of each conversation: {demand.viewers:g}, all at one gateway."
        f" Speaking at a time: {demand.speaking:.0%} of the conversations."
    )
    yield (
        f"A process uses at most one core and {demand.utilisation:.0%} of it, a Redis shard"
        f" {min(demand.utilisation, REDIS_UTILISATION):.0%}; cores are to provide, not in use."
    )
    yield "Not included: Redis replicas, spares for a failed machine, TLS, the processes' own memory."


def _costs(costs: Costs, sources: Mapping[str, str]) -> Table:
    shown = Table("cost", "value", "from (a row of docs/reports/performance.md)", box=box.SIMPLE_HEAD)
    for name, value in asdict(costs).items():
        shown.add_row(name, _count(value) if value >= 1000 else f"{value:g}", sources[name])
    return shown


def _figures(plan: Plan) -> dict[str, Any]:
    values = asdict(plan)
    return {
        **values.pop("demand"),
        **values,
        "cores": plan.cores,
        "cores_per_1000": plan.cores_per_1000,
        "viewers_per_gateway": plan.viewers_per_gateway,
        "conversations_per_ingest": plan.conversations_per_ingest,
    }


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _cores(value: float) -> str:
    return f"{value:,.1f}"


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:,.2f}"

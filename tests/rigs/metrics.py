"""Metrics: what services declare, and what a registry or a process exposes."""

import importlib
import pkgutil

import aiohttp
from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.parser import text_string_to_metric_families

SERVICES = ("relay_control", "relay_gateway", "relay_ingest", "relay_jobs", "relay_simulator")
_OPTIONAL = "livekit"
"""A part that not every installation has."""


def labelled_counters(service: str) -> dict[str, Counter]:
    """By name, the counters with labels of a service, and of what it shares with others; it is imported."""
    package = importlib.import_module(service)
    for module in pkgutil.walk_packages(package.__path__, f"{service}."):
        if not module.name.endswith("__main__"):
            _import(module.name)
    metrics = set(REGISTRY._names_to_collectors.values())
    return {
        f"{metric._name}_total": metric
        for metric in metrics
        if isinstance(metric, Counter) and metric._labelnames
    }


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != _OPTIONAL:
            raise


def metric(collector: Gauge | Counter, **labels: str) -> float:
    """The sum of the series in this process that have exactly these labels."""
    return sum(
        sample.value
        for family in collector.collect()
        for sample in family.samples
        if sample.labels == labels and not sample.name.endswith("_created")
    )


async def scraped(http: aiohttp.ClientSession, admins: list[str], name: str, **labels: str) -> float:
    """The sum of a metric's series with these labels, among others, over processes at these admin ports."""
    total = 0.0
    for admin in admins:
        async with http.get(f"{admin}/metrics") as response:
            families = text_string_to_metric_families(await response.text())
        total += sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
    return total

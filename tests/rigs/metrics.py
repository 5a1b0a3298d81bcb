"""What the services declare of their metrics."""

import importlib
import pkgutil

from prometheus_client import REGISTRY, Counter

SERVICES = ("relay_control", "relay_gateway", "relay_ingest", "relay_simulator")
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

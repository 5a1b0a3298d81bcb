"""Steps that scale: gateways by CPU, ingest by conversations without an owner."""

import time

from tests.kube.release import Release

MOST_GATEWAYS, MOST_WORKERS = 3, 3
_SCALED_S = 240.0


def scale_gateways(release: Release) -> str:
    """Let the autoscaler add gateways under the load's CPU."""
    release.upgrade(release.builds.first, *_values("gateway.autoscaling"))
    return _up(release, "gateway", MOST_GATEWAYS)


def scale_ingest(release: Release) -> str:
    """Let KEDA add workers, and remove them again."""
    release.cluster.add_keda()
    return _up(release, "ingest", MOST_WORKERS)


def _values(key: str) -> list[str]:
    return [f"{key}.enabled=true"]


def _up(release: Release, component: str, most: int) -> str:
    started = time.monotonic()
    fewest = release.replicas(component)
    release.cluster.until(
        lambda: release.replicas(component) >= most, f"{most} pods of {component}", _SCALED_S
    )
    return f"{fewest} → {most} pods in {time.monotonic() - started:.0f} s"

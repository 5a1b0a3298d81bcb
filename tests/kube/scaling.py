"""Steps that scale: gateways by their CPU, ingest by the conversations of the whole relay."""

import time

from tests.kube.cluster import Failed
from tests.kube.load import USUAL
from tests.kube.release import Release

_MOST = 3
_SCALED_S = 240.0
_GATEWAYS = (
    "gateway.autoscaling.enabled=true", "gateway.autoscaling.minReplicas=2",
    f"gateway.autoscaling.maxReplicas={_MOST}", "gateway.autoscaling.targetCPUPercent=60",
)  # fmt: skip
_WORKERS = (
    "ingest.keda.enabled=true", "ingest.keda.minReplicas=1", f"ingest.keda.maxReplicas={_MOST}",
    "ingest.keda.pollingSeconds=2", "ingest.keda.scaleDown.stabilizationSeconds=15",
    "ingest.keda.scaleDown.periodSeconds=15", "ingest.settings.RELAY_MAX_CONVERSATIONS=4",
)  # fmt: skip
"""Workers that are full with four conversations, and an autoscaler in a hurry."""


def scale_gateways(release: Release) -> str:
    """Switch the autoscaler on, and wait until it has added a gateway."""
    started, before = time.monotonic(), release.replicas("gateway")
    release.upgrade(release.builds.first, *_GATEWAYS)
    release.cluster.until(
        lambda: release.replicas("gateway") == _MOST, f"{_MOST} gateways are ready", _SCALED_S
    )
    return f"{before} → {_MOST} pods in {time.monotonic() - started:.0f} s, the upgrade included"


def one_worker(release: Release) -> str:
    """Let KEDA decide on the number of workers; without conversations that is one."""
    release.cluster.add_keda()
    release.upgrade(release.builds.first, *_WORKERS)
    return _reached(release, "ingest", 1)


def scale_ingest(release: Release) -> str:
    """Add conversations, and end them again: the others go on."""
    with release.load.during("more_conversations", release.cluster, USUAL) as load:
        up = _reached(release, "ingest", _MOST)
        verdict = load.end()
    if not verdict.whole:
        raise Failed(f"the added conversations are not whole: {verdict.report.get('failures')}")
    down = _reached(release, "ingest", 1)
    return f"{up}; {down} after {USUAL.conversations} of the conversations had ended"


def _reached(release: Release, component: str, wanted: int) -> str:
    started, before = time.monotonic(), release.replicas(component)
    release.cluster.until(
        lambda: release.replicas(component) == wanted, f"{wanted} pods of {component}", _SCALED_S
    )
    release.settle()
    return f"{before} → {wanted} pods in {time.monotonic() - started:.0f} s"

"""Steps that scale: gateways by CPU or viewers, ingest by the conversations of the whole relay."""

import os
import time
from collections.abc import Mapping
from typing import Any

from tests.kube.cluster import Failed
from tests.kube.custom_metrics import Missing, custom_metrics
from tests.kube.load import MANY, USUAL, Verdict
from tests.kube.release import Release

_MOST = 3
_SCALED_S = 240.0
_GATEWAYS = (
    "gateway.autoscaling.enabled=true", "gateway.autoscaling.minReplicas=2",
    f"gateway.autoscaling.maxReplicas={_MOST}", "gateway.autoscaling.targetCPUPercent=60",
)  # fmt: skip
_LEAST = 2
_TARGET_VIEWERS = 40
_STAYING = USUAL.conversations * USUAL.viewers
_VIEWERS = _STAYING + MANY.conversations * MANY.viewers
_COUNTED_S = 30.0
_BY_VIEWERS = (
    "gateway.autoscaling.enabled=true", f"gateway.autoscaling.minReplicas={_LEAST}",
    f"gateway.autoscaling.maxReplicas={_MOST + 1}", "gateway.autoscaling.targetCPUPercent=",
    f"gateway.autoscaling.targetViewers={_TARGET_VIEWERS}",
    "gateway.autoscaling.scaleDown.stabilizationSeconds=15", "gateway.autoscaling.scaleDown.periodSeconds=15",
)  # fmt: skip
"""Two gateways are too few for the added viewers, three are enough, and four are allowed."""
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


def by_viewers(release: Release) -> str:
    """Let viewers alone decide on the number of gateways, while no adapter serves their number."""
    release.upgrade(release.builds.first, *_BY_VIEWERS)
    return ""


def scale_gateways_on_viewers(release: Release) -> str:
    """Serve the number of viewers to the autoscaler, add viewers, and end them again: the others go on."""
    try:
        with custom_metrics(release) as metrics:
            _reached(release, "gateway", _LEAST)
            oldest, started = release.pods("gateway")[0], time.monotonic()
            with release.load.during("more_viewers", release.cluster, MANY) as load:
                _reached(release, "gateway", _MOST)
                up_s = time.monotonic() - started
                release.cluster.until(
                    lambda: sum(metrics.viewers().values()) == _VIEWERS, f"{_VIEWERS} viewers are counted",
                    _COUNTED_S,
                )  # fmt: skip
                _check(load.end())
            _remove_first(release, oldest)
            down = _reached(release, "gateway", _LEAST)
    except Missing as error:
        if os.environ.get("CI"):
            raise
        return f"not run: {error}"
    up = f"{_LEAST} → {_MOST} pods in {up_s:.0f} s, with {_VIEWERS} viewers and a target of {_TARGET_VIEWERS}"
    return f"{up}; {down} after all but {_STAYING} had left"


def one_worker(release: Release) -> str:
    """Let KEDA decide on the number of workers; without conversations that is one."""
    release.cluster.add_keda()
    release.upgrade(release.builds.first, *_WORKERS)
    return _reached(release, "ingest", 1)


def scale_ingest(release: Release) -> str:
    """Add conversations, and end them again: the others go on."""
    with release.load.during("more_conversations", release.cluster, USUAL) as load:
        up = _reached(release, "ingest", _MOST)
        _check(load.end())
    down = _reached(release, "ingest", 1)
    return f"{up}; {down} after {USUAL.conversations} of the conversations had ended"


def _remove_first(release: Release, pod: Mapping[str, Any]) -> None:
    """Have a pod removed before others; without that it would be the youngest, which has few viewers."""
    cost = "controller.kubernetes.io/pod-deletion-cost=-1"
    release.cluster.kubectl("annotate", "pod", pod["metadata"]["name"], cost)


def _check(verdict: Verdict) -> None:
    if not verdict.whole:
        raise Failed(f"the added conversations are not whole: {verdict.report.get('failures')}")


def _reached(release: Release, component: str, wanted: int) -> str:
    started, before = time.monotonic(), release.replicas(component)
    release.cluster.until(
        lambda: release.replicas(component) == wanted, f"{wanted} pods of {component}", _SCALED_S
    )
    release.settle()
    return f"{before} → {wanted} pods in {time.monotonic() - started:.0f} s"

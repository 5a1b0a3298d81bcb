"""Steps of helm: install, test, upgrade, roll back, uninstall."""

from tests.kube.cluster import Failed
from tests.kube.release import NAME, Release


def install(release: Release) -> str:
    """Install the first build."""
    release.upgrade(release.builds.first)
    return f"{len(release.pods())} pods are ready"


def helm_test(release: Release) -> str:
    """Run the chart's own test."""
    printed = release.test()
    if "Succeeded" not in printed:
        raise Failed(f"no test ran: {printed}")
    return "one turn spoken and received, from a pod of the cluster"


def roll(release: Release) -> str:
    """Upgrade every component to the second build."""
    before = {pod["metadata"]["name"] for pod in release.pods()}
    release.upgrade(release.builds.second)
    return _rolled(release, before, release.builds.second)


def roll_back(release: Release) -> str:
    """Return to the first revision."""
    before = {pod["metadata"]["name"] for pod in release.pods()}
    release.rollback(1)
    return _rolled(release, before, release.builds.first)


def uninstall(release: Release) -> str:
    """Remove the release, and look for what it has left."""
    release.uninstall()
    gone = release.cluster.until(
        lambda: not (release.cluster.everything() - release.before), "nothing is left", within_s=60
    )
    if not gone or release.cluster.helm("list", "--all", "--short").split():
        raise Failed(f"left: {release.cluster.everything() - release.before}, or the release {NAME}")
    return "no object is left in the namespace"


def _rolled(release: Release, before: set[str], tag: str) -> str:
    images = release.images()
    if images != {tag}:
        raise Failed(f"these tags run: {images}")
    replaced = len(before - {pod["metadata"]["name"] for pod in release.pods()})
    return f"{replaced} of {len(before)} pods replaced"

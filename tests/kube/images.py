"""The images: two builds of every service."""

from typing import NamedTuple

import yaml
from scripts.release.services import extras_of
from scripts.release.versions import version_of
from tests.kube.cluster import Cluster
from tests.rigs.imports import ROOT

SERVICES = tuple(extras_of(ROOT))
_BUILD_S = 1800.0
_NEXT = "FROM avatar-relay/{service}:{first}\nLABEL org.opencontainers.image.version={second}\n"
"""The second build: another image by its digest, with the same code, in a second instead of minutes."""


class Builds(NamedTuple):
    """The tags of both builds, and the image of Redis; the first and Redis are the chart's defaults."""

    first: str
    second: str
    redis: str


def prepare(cluster: Cluster, *, anew: bool) -> Builds:
    """Build both where wanted, and copy them to every node; a build without a change takes seconds."""
    builds = Builds(version_of(ROOT), "kube-b", _redis_of_chart())
    cluster.run("docker", "tag", cluster.environment["REDIS_IMAGE"], builds.redis)
    if anew:
        _build(cluster, builds)
    tags = (builds.first, builds.second)
    cluster.load([builds.redis, *(f"avatar-relay/{service}:{tag}" for service in SERVICES for tag in tags)])
    return builds


def _redis_of_chart() -> str:
    values = yaml.safe_load((ROOT / "helm" / "avatar-relay" / "values.yaml").read_text("utf-8"))
    return str(values["demo"]["redis"]["image"])


def _build(cluster: Cluster, builds: Builds) -> None:
    cluster.run(str(ROOT / "scripts" / "images"), "--tag", builds.first, *SERVICES, timeout_s=_BUILD_S)
    for service in SERVICES:
        tag = f"avatar-relay/{service}:{builds.second}"
        dockerfile = _NEXT.format(service=service, first=builds.first, second=builds.second)
        cluster.run("docker", "buildx", "build", "--load", "--tag", tag, "-", given=dockerfile)

"""A Redis beside the images."""

import os
from collections.abc import Iterator

import pytest
from tests.rigs.containers import docker, need_engine, network, running
from tests.rigs.need import need


@pytest.fixture(scope="session")
def redis_network() -> Iterator[str]:
    """A network in which a real Redis serves at ``redis://redis``."""
    need_engine()
    image = os.environ.get("REDIS_IMAGE", "redis:7-bookworm")
    found = docker("image", "inspect", image, check=False).returncode == 0
    need(image if found else None, f"the image {image}")
    with network() as name, running(image, options=["--network", name, "--network-alias", "redis"]):
        yield name

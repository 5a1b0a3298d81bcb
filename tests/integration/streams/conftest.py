"""A second server, for tests of replicas."""

from collections.abc import Iterator

import pytest
from tests.rigs.redis_server import Server


@pytest.fixture
def other_server(redis_server: Server) -> Iterator[Server]:
    """A second server of the same make."""
    with redis_server.another() as server:
        yield server

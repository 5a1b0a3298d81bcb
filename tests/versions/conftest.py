"""The other version, and a clean Redis for a relay of both."""

import pytest
from tests.rigs.redis_server import Server
from tests.versions.builds import Build, build_of, default_ref

from relay_redis.client import RedisClient
from relay_streams.scripts import SCHEMA


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of these tests."""
    parser.addoption(
        "--against",
        default="",
        help="the commit of the other version; without it the newest release, else the commit before",
    )


@pytest.fixture(scope="session")
def other(request: pytest.FixtureRequest) -> Build:
    """The other version, installed."""
    return build_of(request.config.getoption("--against") or default_ref())


@pytest.fixture
async def redis_url(redis_server: Server) -> str:
    """An empty Redis."""
    async with RedisClient(redis_server.url, SCHEMA, name="test") as client:
        await client.execute("FLUSHALL")
    return redis_server.url

"""Guards and parts that every kind of test shares."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog
import uvloop
from blockbuster import BlockBuster, blockbuster_ctx
from tests.rigs import compiled
from tests.rigs import redis_server as servers
from tests.rigs.eventually import eventually
from tests.rigs.planted import leaked, secrets_of
from tests.rigs.redis_server import Server
from tests.rigs.store import Store

from relay_cli.stack import Child
from relay_redis.client import RedisClient
from relay_streams.scripts import SCHEMA
from relay_telemetry import logs

_KINDS = (
    "unit",
    "contract",
    "fuzz",
    "integration",
    "scenarios",
    "security",
    "faults",
    "e2e",
    "images",
    "compose",
    "chart",
    "kube",
    "load",
    "package",
    "versions",
)
_GUARDED = {"integration", "scenarios", "security"}
_SERVERS = pytest.StashKey[tuple[str, ...]]()


# A shared machine decides how long an example takes; a deadline would fail tests for it.
hypothesis.settings.register_profile("relay", deadline=None)
hypothesis.settings.load_profile("relay")

_SHARING = ("chart", "faults", "images", "package", "versions", "test_prometheus", "test_topologies")
"""Folders and modules whose tests share costly parts, so that one process runs them all."""


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's folder is its kind; those that reach compiled modules are marked."""
    root = Path(__file__).parent
    for item in items:
        kind = item.path.relative_to(root).parts[0]
        if kind in _KINDS:
            item.add_marker(kind)
        if compiled.reaches(item.path):
            item.add_marker("compiled")
        for name in (kind, item.path.stem):
            if name in _SHARING:
                item.add_marker(pytest.mark.xdist_group(name))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A secret in what this process logs or prints fails the test."""
    report = yield
    place = leaked("\n".join(text for _, text in report.sections))
    if place:
        report.outcome, report.longrepr = "failed", f"a secret was logged: {place}"
    return report


@pytest.fixture
def as_a_service() -> Iterator[Callable[[str], None]]:
    """``as_a_service(style)`` makes this process log as a service does, debug lines too, for one test."""
    root, configured = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level

    def configure(style: str) -> None:
        logs.configure("test", level="debug", style=style)
        structlog.configure(cache_logger_on_first_use=False)  # else its loggers would outlive the test

    yield configure
    structlog.configure(**configured)
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def _logging_stays() -> Iterator[None]:
    """A test that configures this process's logging leaves loggers whose lines no later test can read."""
    before = structlog.get_config()["processors"]
    yield
    assert structlog.get_config()["processors"] is before, (
        "replace relay_telemetry.logs.configure in this test"
    )


@pytest.fixture(scope="session", autouse=True)
def _children_log_no_secrets() -> Iterator[None]:
    """Nor may the processes that tests start."""
    stop = Child.stop

    async def stop_and_search(child: Child) -> int | None:
        status = await stop(child)
        log = await asyncio.to_thread(_read, child.log_path)
        place = leaked(log, secrets_of(child._environment))
        assert not place, f"{child.name} logged a secret: {place}"
        return status

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Child, "stop", stop_and_search)
        yield


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that the services run on."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of this project."""
    parser.addoption(
        "--server",
        default="auto",
        help=f"the Redis servers to test with, commas between them: {', '.join(servers.NAMES)}",
    )
    parser.addoption("--webhooks", type=int, default=300, help="how many webhooks tests/e2e delivers")


def pytest_configure(config: pytest.Config) -> None:
    """One process chooses the servers, and those that it starts have the same."""
    if hasattr(config, "workerinput"):
        config.stash[_SERVERS] = config.workerinput["servers"]
        return
    try:
        config.stash[_SERVERS] = servers.chosen(config.getoption("server"))
    except ValueError as error:
        raise pytest.UsageError(f"--server: {error}") from None
    servers.remove_abandoned()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The choice, for a process of xdist."""
    node.workerinput["servers"] = node.config.stash[_SERVERS]


def pytest_report_header(config: pytest.Config) -> str:
    """The servers that were chosen."""
    return f"redis: {servers.described(config.stash[_SERVERS])}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests run on every server; those of whole processes, which cost seconds, only where declared."""
    if "redis_server" in metafunc.fixturenames:
        path = metafunc.definition.path
        processes = not {"e2e", "versions"}.isdisjoint(path.parts) or path.parent.name == "recordings"
        every = not processes or metafunc.definition.get_closest_marker("every_server")
        names = metafunc.config.stash[_SERVERS]
        metafunc.parametrize("redis_server", names if every else names[:1], indirect=True, scope="session")


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A real server, one of each name for a process of tests; its data is removed between tests."""
    with servers.opened(request.param) as server:
        yield server


@pytest.fixture
def open_store(redis_server: Server) -> Callable[[], object]:
    """``async with open_store() as store``: a clean store."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        async with RedisClient(redis_server.url, SCHEMA, name="test", timeout_s=5) as client:
            await client.execute("FLUSHALL")
            yield Store(redis_server.url, client)

    return opened


@pytest.fixture(autouse=True)
def _guards(request: pytest.FixtureRequest) -> None:
    """No blocking call on the event loop, no task left running unless the test declares a lingering one."""
    if _GUARDED.isdisjoint(mark.name for mark in request.node.iter_markers()):
        return
    request.getfixturevalue("no_blocking")
    if request.node.get_closest_marker("lingers") is None:
        request.getfixturevalue("no_leaks")


@pytest.fixture
def no_blocking() -> Iterator[BlockBuster]:
    """A blocking call on the event loop fails the test."""
    with blockbuster_ctx() as blockbuster:
        blockbuster.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
        for function in blockbuster.functions.values():
            function.can_block_in("fsspec/asyn.py", "_runner")  # an event loop of its own, in a thread
        yield blockbuster


@pytest.fixture
async def no_leaks() -> AsyncIterator[None]:
    """Tasks left running fail the test; those that are ending may take a moment."""
    before = asyncio.all_tasks()
    yield
    assert sys.exc_info() == (None, None, None), "an error is being handled still: test_hot_path.py"
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=2)
    assert not left, f"tasks left running: {[task.get_coro() for task in left]}"


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., object]:
    """Wait for a condition, at most for this time; never a bare sleep."""
    return eventually

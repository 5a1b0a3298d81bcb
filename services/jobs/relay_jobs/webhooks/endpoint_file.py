"""The file of endpoints, read again so that a change of it, or of a secret that it names, takes effect.

A file that cannot be used any more changes nothing: the last endpoints stay, and the fault is logged, and
counted at each read until it is mended.
"""

import asyncio
import time
from pathlib import Path
from typing import Final, NoReturn

import structlog
from prometheus_client import Counter, Gauge

from relay_jobs.webhooks.addresses import AllowedHosts
from relay_jobs.webhooks.endpoints import BadEndpoints, Endpoints, Rules, parse
from relay_settings import environment
from relay_settings.base import SettingsError
from relay_settings.webhooks import WebhookSettings

REFRESH_S: Final = 2.0
"""Greatest age of the endpoints in use."""
_LARGEST_FILE_BYTES: Final = 4 * 1024 * 1024

ENDPOINTS = Gauge(
    "relay_jobs_webhook_endpoints", "Endpoints of webhooks in use.", multiprocess_mode="mostrecent"
)
FAILURES = Counter(
    "relay_jobs_webhook_endpoint_failures_total",
    "Times that the file of endpoints could not be used; the last usable one stays in use.",
)

log = structlog.get_logger(__name__)


class EndpointFile:
    """The endpoints of one process.

    Args:
        settings: Name the file, and what its URLs may be.
    """

    def __init__(self, settings: WebhookSettings) -> None:
        self.endpoints = Endpoints()
        """Those in use; none before ``open``, and where no file is named."""
        self._path = settings.webhooks_file
        self._rules = rules_of(settings)
        self._fault = ""
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def open(self) -> None:
        """Read the file for the first time.

        Raises:
            SettingsError: It cannot be used. The text names the field.
        """
        if self._path is not None:
            try:
                await self._read(self._path)
            except BadEndpoints as error:
                raise SettingsError(f"RELAY_WEBHOOKS_FILE: {error}") from None

    async def current(self) -> Endpoints:
        """The endpoints. Reads the file, in a thread, when they are older than ``REFRESH_S``.

        Safe to cancel.
        """
        async with self._reading:
            if self._path is not None and time.monotonic() - self._read_at >= REFRESH_S:
                await self._refresh(self._path)
        return self.endpoints

    async def follow(self) -> NoReturn:
        """Keep ``endpoints`` current, until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_S)
            await self.current()

    async def _refresh(self, path: Path) -> None:
        fault = ""
        try:
            await self._read(path)
        except (BadEndpoints, SettingsError) as error:
            fault = str(error)
            FAILURES.inc()
        if fault != self._fault:
            self._fault = fault
            if fault:
                log.error("the file of webhook endpoints cannot be used, the last one stays", error=fault)
            else:
                log.info("the file of webhook endpoints can be used again")

    async def _read(self, path: Path) -> None:
        self._read_at = time.monotonic()
        self._use(await asyncio.to_thread(_read, path, self._rules))

    def _use(self, endpoints: Endpoints) -> None:
        if endpoints.by_name != self.endpoints.by_name:
            self.endpoints = endpoints
            log.info("webhook endpoints read", names=sorted(endpoints.by_name))
        ENDPOINTS.set(len(endpoints.by_name))


def rules_of(settings: WebhookSettings) -> Rules:
    """Which URLs the settings allow."""
    return Rules(
        AllowedHosts(settings.webhook_hosts), settings.webhook_http, settings.webhook_private_networks
    )


def _read(path: Path, rules: Rules) -> Endpoints:
    """Blocks.

    Raises:
        BadEndpoints: The file cannot be read or used.
        SettingsError: The folder of secrets cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise BadEndpoints(f"the file cannot be read: {error.strerror}") from None
    if len(text) > _LARGEST_FILE_BYTES:
        raise BadEndpoints(f"the file has more than {_LARGEST_FILE_BYTES} bytes")
    return parse(text, rules, environment.values())

"""The installation: the constants that all processes of one relay share, kept in Redis and compared.

The first process writes ``<prefix>:installation``, the others compare their settings with it. A process whose
settings differ at its start does not run. The key is written again whenever it is missing: after a FLUSHALL
each running process restores it within ``COMPARE_S``.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import structlog
from prometheus_client import Gauge

from relay_redis.client import RedisClient
from relay_redis.errors import Refused, StoreError
from relay_redis.reconnect import RECONNECT_WAIT
from relay_runtime.tasks import TaskScope
from relay_settings.base import SettingsError
from relay_streams.keys import KeySpace

SCHEMA = 1
"""The version of the keys' layout. Processes of two versions cannot share a relay."""
COMPARE_S = 10.0
"""The time between comparisons, besides one after each connect."""

DISAGREES = Gauge(
    "relay_installation_disagrees", "Whether the constants in Redis differ from the settings of this process."
)

log = structlog.get_logger(__name__)


class Constants(msgspec.Struct, frozen=True):
    """The content of the key, as JSON. Unknown fields are ignored."""

    partitions: int
    schema: int = SCHEMA


class Disagreement(SettingsError):
    """Raised when the constants in Redis differ from our settings. The text has both and the remedy."""


class Installation:
    """One process's comparison with its installation. Made by ``installed``.

    Args:
        client: Reads and writes the key.
        keys: The prefix and the partition count of this process.
    """

    def __init__(self, client: RedisClient, keys: KeySpace) -> None:
        self.keys = keys
        self._client = client
        self._ours = Constants(keys.partitions)
        self._connected = asyncio.Event()
        self._problem = ""
        self.agreed = asyncio.Event()
        """Set after the first comparison in which our settings agreed."""
        client.on_connect(self._connected.set)

    def readiness(self) -> str:
        """The reason why the process must not serve; empty when it may."""
        return self._problem if self.agreed.is_set() else "the installation in Redis is not compared yet"

    async def check(self) -> bool:
        """Compare with the constants in Redis. Returns whether Redis has any.

        Raises:
            Disagreement: Redis has other constants.
            StoreError: Redis cannot be read now.
        """
        try:
            content = await self._client.execute("GET", self.keys.installation)
        except Refused:  # the key is not a string
            content = b""
        return self._verify(content)

    async def compare(self) -> None:
        """Compare with the constants in Redis, and write ours if it has none. Raises as ``check`` does."""
        if not await self.check():
            ours = msgspec.json.encode(self._ours)
            self._verify(await self._client.execute("SET", self.keys.installation, ours, "NX", "GET"))
        self.agreed.set()

    def _verify(self, content: bytes | None) -> bool:
        self._problem = "" if content is None else disagreement(self.keys.installation, self._ours, content)
        DISAGREES.set(bool(self._problem))
        if self._problem:
            raise Disagreement(self._problem)
        return content is not None

    async def run(self) -> None:
        """Compare after each connect and periodically. Runs until cancelled.

        Raises:
            Disagreement: The first comparison found other constants. A later one makes the process not
                ready, and ends nothing: clients that are connected continue to be served.
        """
        failures = 0
        while True:
            self._connected.clear()
            wait_s = COMPARE_S
            try:
                await self.compare()
                failures = 0
            except Disagreement as error:
                if not self.agreed.is_set():
                    raise
                log.error("redis has other constants than our settings", error=str(error))
            except StoreError as error:
                wait_s = RECONNECT_WAIT.compute(failures)
                failures += 1
                if self._client.connected:
                    log.warning("installation not compared", error=str(error))
            await self._pause(wait_s)

    async def _pause(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._connected.wait()
        except TimeoutError:
            pass


@asynccontextmanager
async def installed(client: RedisClient, keys: KeySpace, *, timeout_s: float) -> AsyncIterator[Installation]:
    """Compare this process with its installation while the block runs.

    If Redis cannot be reached in time, the block begins all the same, and the process is not ready until the
    first comparison.

    Args:
        client: Reads and writes the key; open.
        keys: The prefix and the partition count of this process.
        timeout_s: How long the start of the block may wait for Redis.

    Raises:
        Disagreement: Redis has other constants; also later, out of the block, if Redis was unreachable
            before.
    """
    installation = Installation(client, keys)
    try:
        async with TaskScope() as tasks:
            tasks.spawn(installation.run(), name="installation")
            try:
                async with asyncio.timeout(timeout_s):
                    await installation.agreed.wait()
            except TimeoutError:
                log.warning("redis cannot be reached yet", key=keys.installation)
            yield installation
    except* Disagreement as group:
        refusal = group.exceptions[0]
    else:
        return
    raise refusal


def disagreement(key: str, ours: Constants, content: bytes) -> str:
    """The difference between the content of the key and our constants; empty when there is none."""
    try:
        theirs = msgspec.json.decode(content, type=Constants)
    except msgspec.MsgspecError:
        return f"the key {key} in Redis is not one of a relay: set RELAY_KEY_PREFIX to a prefix of our own"
    if theirs.schema != ours.schema:
        return (
            f"the relay in Redis has keys of version {theirs.schema}, this program reads {ours.schema}: end"
            f" all conversations, stop every process and delete the key {key},"
            " or set another RELAY_KEY_PREFIX"
        )
    if theirs.partitions != ours.partitions:
        return (
            f"RELAY_PARTITIONS is {ours.partitions} here and {theirs.partitions} in the relay in Redis: set"
            f" it to {theirs.partitions}; to change it, end all conversations, stop every process and delete"
            f" the key {key}"
        )
    return ""

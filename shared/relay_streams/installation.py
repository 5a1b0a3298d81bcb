"""The installation: what all processes of one relay must agree on, kept in Redis and compared.

The first process writes ``<prefix>:installation``, the others compare their settings with it. A process that
disagrees when it starts does not run. The key is written again whenever it is missing: FLUSHALL removes it,
and each running process restores it within ``COMPARE_S``.
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
"""The version of the keys' layout. Processes of two versions do not share one."""
COMPARE_S = 10.0
"""Between comparisons, besides one after each connect."""

DISAGREES = Gauge("relay_installation_disagrees", "Whether Redis names other constants than our settings.")

log = structlog.get_logger(__name__)


class Constants(msgspec.Struct, frozen=True):
    """The content of the key, as JSON. Unknown fields are ignored."""

    partitions: int
    schema: int = SCHEMA


class Disagreement(SettingsError):
    """Raised when Redis names other constants than our settings. The text names both and the way out."""


class Installation:
    """One process's comparison with its installation. Made by ``installed``.

    Args:
        client: To Redis.
        keys: The names and the partition count that this process uses.
    """

    def __init__(self, client: RedisClient, keys: KeySpace) -> None:
        self.keys = keys
        self._client = client
        self._ours = Constants(keys.partitions)
        self._connected = asyncio.Event()
        self._problem = ""
        self.agreed = asyncio.Event()
        """Set once Redis and our settings have agreed."""
        client.on_connect(self._connected.set)

    def readiness(self) -> str:
        """Why the process must not take work, or nothing."""
        return self._problem if self.agreed.is_set() else "the installation in Redis is not compared yet"

    async def check(self) -> bool:
        """Compare with what Redis has. Returns whether it has anything.

        Raises:
            Disagreement: Redis has other constants.
            StoreError: Redis cannot be asked now.
        """
        try:
            content = await self._client.execute("GET", self.keys.installation)
        except Refused:  # not even text
            content = b""
        return self._judge(content)

    async def compare(self) -> None:
        """Compare with what Redis has, and write ours where it has nothing. Raises as ``check`` does."""
        if not await self.check():
            ours = msgspec.json.encode(self._ours)
            self._judge(await self._client.execute("SET", self.keys.installation, ours, "NX", "GET"))
        self.agreed.set()

    def _judge(self, content: bytes | None) -> bool:
        self._problem = "" if content is None else disagreement(self.keys.installation, self._ours, content)
        DISAGREES.set(bool(self._problem))
        if self._problem:
            raise Disagreement(self._problem)
        return content is not None

    async def run(self) -> None:
        """Compare after each connect, and now and then. Runs until cancelled.

        Raises:
            Disagreement: The first comparison that Redis answered found other constants. A later one makes
                the process not ready, and ends nothing: whoever is served here goes on being served.
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
                log.error("redis names other constants than our settings", error=str(error))
            except StoreError as error:
                wait_s = RECONNECT_WAIT.compute(failures)
                failures += 1
                if self._client.connected:
                    log.warning("the installation cannot be compared", error=str(error))
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

    Where Redis cannot be reached in time the block begins all the same, and the process is not ready until
    the comparison has been made.

    Args:
        client: To Redis, open.
        keys: The names and the partition count that this process uses.
        timeout_s: How long the beginning of the block may wait for Redis.

    Raises:
        Disagreement: Redis has other constants; also later, out of the block, when Redis was away before.
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
    """What is wrong with the content of the key, or nothing."""
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

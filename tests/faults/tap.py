"""The tap: reads what owners publish straight from Redis, through a client of its own.

It knows where the frames are (``relay:{pNN}:c:<id>:down``, partition = CRC-32 of the id) and nothing
else of the relay. It follows the streams a few milliseconds behind, lives through outages, and reads
everything again after each: an id that comes back with other bytes is a conflict.
"""

import asyncio
import struct
import time
import zlib
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from redis import RedisError
from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.sentinel import SentinelConnectionPool
from tests.faults.verifier import Position, Publication, digest_of, position

from relay_runtime.tasks import TaskScope

PARTITIONS = 16
PACE_S = 0.02
TIMEOUT_S = 2.0
_LAST_S = 10.0
_OUTAGES = (RedisError, OSError, TimeoutError, RuntimeError)
"""What redis-py raises when the store is away; the last is uvloop's, of a connection that dies between two
writes."""
_BATCH = 500
_PUBLISHED_AT = struct.Struct(">Q")
_PUBLISHED_AT_OFFSET = 24
_BELIEVABLE_S = 60.0
"""A publishing clock further off than this is wrong: then our own counts."""


@dataclass
class Tape:
    """One conversation's frames, as the store had them."""

    publications: dict[Position, Publication] = field(default_factory=dict)
    frames: dict[Position, bytes] = field(default_factory=dict)
    """Their bytes, unless the tap keeps none."""
    conflicts: list[Position] = field(default_factory=list)
    """Ids that were seen again with other bytes."""
    cursor: str = "0-0"

    def add(self, at: Position, data: bytes, *, keep: bool) -> None:
        """Take a frame; one that is known is only compared."""
        digest = digest_of(data)
        known = self.publications.get(at)
        if known is None:
            self.publications[at] = Publication(digest, _published_at(data))
            if keep:
                self.frames[at] = data
        elif known.digest != digest:
            self.conflicts.append(at)

    @property
    def tail(self) -> Position:
        """The last position seen."""
        return max(self.publications, default=(0, 0))


class Tap:
    """Follows conversations. Enter it to begin; leaving ends it.

    Args:
        url: As ``RELAY_REDIS_URL`` has it: ``redis://``, ``redis+sentinel://`` or ``redis+cluster://``.
        keep: Keep the bytes, for a look at the content.
    """

    def __init__(self, url: str, *, keep: bool = True) -> None:
        self._url = url
        self._keep = keep
        self._client: Any = None
        self._scope = TaskScope()
        self._whole = asyncio.Event()
        """Set unless everything is to be read again."""
        self._whole.set()
        self.tapes: dict[str, Tape] = {}
        self.outages = 0

    async def __aenter__(self) -> Self:
        self._client = _client(self._url)
        await self._scope.__aenter__()
        self._scope.spawn(self._run(), name="tap")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._scope.__aexit__(kind, error, trace)
        await self._client.aclose()

    def follow(self, conversation: str) -> Tape:
        """Begin to record a conversation."""
        return self.tapes.setdefault(conversation, Tape())

    async def read_again(self) -> None:
        """Compare everything the store still has with what was recorded.

        Raises:
            TimeoutError: It could not be read within ten seconds.
        """
        self._whole.clear()
        try:
            async with asyncio.timeout(_LAST_S):
                await self._whole.wait()
        except TimeoutError:
            raise TimeoutError(f"the store could not be read again within {_LAST_S:g} s") from None

    async def _run(self) -> None:
        while True:
            again = not self._whole.is_set()
            if again:
                self._rewind()
            try:
                async with asyncio.timeout(_LAST_S if again else TIMEOUT_S):
                    await self._find_the_primary()
                    await self._read()
            except _OUTAGES:
                await self._connect_again()
            else:
                if again:
                    self._whole.set()
            await asyncio.sleep(PACE_S)

    async def _connect_again(self) -> None:
        """Another client: redis-py's of a cluster continues to ask a dead node for the keys of a command."""
        self.outages += 1
        self._rewind()
        with suppress(*_OUTAGES):
            await self._client.aclose()
        self._client = _client(self._url)

    async def _find_the_primary(self) -> None:
        """redis-py asks sentinels when it connects, and stays with a server that is no primary any more.

        Raises:
            ConnectionError: It is a replica.
        """
        if isinstance(self._client, Redis) and isinstance(
            self._client.connection_pool, SentinelConnectionPool
        ):
            role = await self._client.execute_command("ROLE")  # type: ignore[no-untyped-call]  # redis-py's
            if role[0] != b"master":
                raise ConnectionError("a replica")

    def _rewind(self) -> None:
        for tape in self.tapes.values():
            tape.cursor = "0-0"

    async def _read(self) -> None:
        by_slot: dict[int, dict[str, str]] = defaultdict(dict)
        for conversation in self.tapes:
            by_slot[partition(conversation)][key(conversation, "down")] = conversation
        for streams in by_slot.values():
            await self._read_slot(streams)

    async def _read_slot(self, streams: dict[str, str]) -> None:
        full = True
        while full:
            cursors = {key: self.tapes[conversation].cursor for key, conversation in streams.items()}
            reply = await self._client.xread(cursors, count=_BATCH)
            full = False
            for key, entries in reply.items() if isinstance(reply, dict) else reply:
                tape = self.tapes[streams[key.decode()]]
                # Under RESP3 a stream's entries come wrapped once more.
                flat = entries[0] if entries and isinstance(entries[0], list) else entries
                for entry, fields in flat:
                    tape.add(position(entry.decode()), fields[b"f"], keep=self._keep)
                    tape.cursor = entry.decode()
                full = full or len(flat) >= _BATCH


def partition(conversation: str) -> int:
    """The partition a conversation lives in."""
    return zlib.crc32(conversation.encode()) % PARTITIONS


def key(conversation: str, name: str) -> str:
    """One of a conversation's keys."""
    return f"relay:{{p{partition(conversation):02d}}}:c:{conversation}:{name}"


def _client(url: str) -> Any:
    scheme, where = urlsplit(url).scheme, urlsplit(url)
    options: dict[str, Any] = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
    if scheme == "redis":
        return Redis.from_url(url, **options)
    hosts = [host.rsplit(":", 1) for host in where.netloc.split(",")]
    if scheme == "redis+sentinel":
        where_they_watch = [(host, int(port)) for host, port in hosts]
        sentinel = Sentinel(where_they_watch, sentinel_kwargs=options, **options)  # type: ignore[no-untyped-call]
        return sentinel.master_for(where.path.strip("/"))
    nodes = [ClusterNode(host, int(port)) for host, port in hosts]
    return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)


def _published_at(data: bytes) -> float:
    (microseconds,) = _PUBLISHED_AT.unpack_from(data, _PUBLISHED_AT_OFFSET)
    now, server_time = time.time(), microseconds / 1e6
    return server_time if abs(now - server_time) < _BELIEVABLE_S else now

"""Keys: every name the relay uses in Redis, and the partition it lives in.

================================  ======  =====================================================
key                               type    content
================================  ======  =====================================================
relay:{pNN}:c:<id>:down           stream  id = position; ``f``, ``traceparent``, ``tracestate``
relay:{pNN}:c:<id>:up             stream  speech, interrupts, reports on their way to the owner
relay:{pNN}:c:<id>:meta           hash    the conversation's record (see ``conversations``)
relay:{pNN}:c:<id>:lease          string  ``<owner> <generation>``, expires
relay:{pNN}:unowned               stream  conversations that need an owner; group ``ingest``
relay:{pNN}:leases                zset    conversation by lease expiry, in ms since the epoch
relay:{pNN}:made:<creator>        set     conversations of one creator that have not ended
relay:{pNN}:upkeep                string  the worker that looks after the partition's indexes, expires
relay:{pNN}:heartbeat:<link>      hash    what a link of a process wrote last, and a channel; expires
relay:installation                string  what all processes must agree on (see ``installation``)
================================  ======  =====================================================

``relay`` is ``RELAY_KEY_PREFIX``: relays with different prefixes share a database without seeing each other.
A key that has another type than here is a loss, and made good like one (see ``key_types``).
A stream's hint channel has the stream's own name (channels and keys are separate name spaces).
"""

import zlib
from functools import lru_cache
from typing import NamedTuple, Self

from relay_settings.store import DEFAULT_KEY_PREFIX, DEFAULT_PARTITIONS, StoreSettings

CONSUMER_GROUP = "ingest"


class ConversationKeys(NamedTuple):
    """The keys of one conversation."""

    id: str
    partition: int
    down: str
    up: str
    meta: str
    lease: str
    unowned: str
    leases: str

    def made(self, creator: str) -> str:
        """Where it is listed while it has not ended."""
        return PartitionKeys(self.partition, self.unowned, self.leases).made(creator)


class PartitionKeys(NamedTuple):
    """The keys a partition's conversations share."""

    partition: int
    unowned: str
    leases: str

    def made(self, creator: str) -> str:
        """What this creator has made here and has not ended."""
        return f"{self._prefix}made:{creator}"

    @property
    def upkeep(self) -> str:
        """Which worker looks for what the indexes have lost."""
        return f"{self._prefix}upkeep"

    @property
    def metas(self) -> str:
        """A pattern of all records' keys."""
        return f"{self._prefix}c:*:meta"

    @property
    def _prefix(self) -> str:
        return self.leases.removesuffix("leases")

    def heartbeat(self, name: str) -> str:
        """What a link writes to show that it works."""
        return f"{self.leases.removesuffix('leases')}heartbeat:{name}"


class KeySpace:
    """Names keys for a fixed number of partitions.

    Args:
        partitions: How many hash tags the conversations are spread over; every process of one relay
            must use the same number, and it cannot change while conversations live.
        prefix: What every name begins with; the same for every process of one relay.
    """

    def __init__(self, partitions: int = DEFAULT_PARTITIONS, prefix: str = DEFAULT_KEY_PREFIX) -> None:
        self.partitions = partitions
        self.prefix = prefix
        self.installation = f"{prefix}:installation"
        # Names are made once per conversation and process, not once per frame.
        self.conversation = lru_cache(maxsize=100_000)(self._conversation)

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The key space of a process."""
        return cls(settings.partitions, settings.key_prefix)

    def partition(self, conversation: str) -> int:
        """The conversation's partition: CRC-32 of its id, so every language computes the same."""
        return zlib.crc32(conversation.encode()) % self.partitions

    def shared(self, partition: int) -> PartitionKeys:
        """The keys of a partition."""
        prefix = self._tagged(partition)
        return PartitionKeys(partition, f"{prefix}:unowned", f"{prefix}:leases")

    def _conversation(self, conversation: str) -> ConversationKeys:
        shared = self.shared(self.partition(conversation))
        prefix = f"{self._tagged(shared.partition)}:c:{conversation}"
        return ConversationKeys(
            id=conversation,
            partition=shared.partition,
            down=f"{prefix}:down",
            up=f"{prefix}:up",
            meta=f"{prefix}:meta",
            lease=f"{prefix}:lease",
            unowned=shared.unowned,
            leases=shared.leases,
        )

    def _tagged(self, partition: int) -> str:
        return f"{self.prefix}:{{p{partition:02d}}}"

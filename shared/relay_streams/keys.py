"""Keys: every name the relay uses in Redis, and the partition it lives in.

================================  ======  =====================================================
key                               type    content
================================  ======  =====================================================
relay:{pNN}:c:<id>:down           stream  frames: id = position, field ``f``; ``u`` the uplink entry
                                          an audio frame came from; ``traceparent`` when sampled
relay:{pNN}:c:<id>:up             stream  speech, interrupts, reports on their way to the owner
relay:{pNN}:c:<id>:meta           hash    the conversation's record (see ``conversations``)
relay:{pNN}:c:<id>:lease          string  ``<owner> <generation>``, expires
relay:{pNN}:unowned               stream  conversations that need an owner; group ``ingest``
relay:{pNN}:leases                zset    conversation by lease expiry, in ms since the epoch
relay:{pNN}:made:<creator>        set     conversations of one creator that have not ended
================================  ======  =====================================================

A stream's hint channel has the stream's own name (channels and keys are separate name spaces).
"""

import zlib
from functools import lru_cache
from typing import NamedTuple

DEFAULT_PARTITIONS = 16
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
        return f"{self.leases.removesuffix('leases')}made:{creator}"


class KeySpace:
    """Names keys for a fixed number of partitions.

    Args:
        partitions: How many hash tags the conversations are spread over; every process of one relay
            must use the same number, and it cannot change while conversations live.
    """

    def __init__(self, partitions: int = DEFAULT_PARTITIONS) -> None:
        self.partitions = partitions
        # Names are made once per conversation and process, not once per frame.
        self.conversation = lru_cache(maxsize=100_000)(self._conversation)

    def partition(self, conversation: str) -> int:
        """The conversation's partition: CRC-32 of its id, so every language computes the same."""
        return zlib.crc32(conversation.encode()) % self.partitions

    def shared(self, partition: int) -> PartitionKeys:
        """The keys of a partition."""
        prefix = f"relay:{{p{partition:02d}}}"
        return PartitionKeys(partition, f"{prefix}:unowned", f"{prefix}:leases")

    def _conversation(self, conversation: str) -> ConversationKeys:
        shared = self.shared(self.partition(conversation))
        prefix = f"relay:{{p{shared.partition:02d}}}:c:{conversation}"
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

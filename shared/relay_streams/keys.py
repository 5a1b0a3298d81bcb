"""Keys: the names of one conversation's keys, and of one partition's.

Names are built from the list of key kinds. They begin with ``RELAY_KEY_PREFIX``:
relays with different prefixes share a database without seeing each other. The channel on which a stream's
notifications are published has the stream's own name, since channels and keys are separate name spaces.
"""

import zlib
from functools import lru_cache
from typing import NamedTuple, Self

from relay_settings.store import DEFAULT_KEY_PREFIX, DEFAULT_PARTITIONS, StoreSettings
from relay_streams.key_kinds import KINDS


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
    tagged_prefix: str

    def made(self, creator: str) -> str:
        """The index that has the conversation until it ends."""
        return KINDS["made"].name(self.tagged_prefix, creator)

    @property
    def orphans(self) -> str:
        """Since when the records of conversations are gone."""
        return KINDS["orphans"].name(self.tagged_prefix)

    @property
    def account(self) -> str:
        """What usage has still to count of it."""
        return KINDS["account"].name(self.tagged_prefix, self.id)

    @property
    def recordings(self) -> str:
        """The recordings of the partition that are not finished."""
        return KINDS["recordings"].name(self.tagged_prefix)

    @property
    def outbox(self) -> str:
        """What has happened in the partition's conversations."""
        return KINDS["outbox"].name(self.tagged_prefix)

    @property
    def outbox_discarded(self) -> str:
        """The count of what the outbox's bound has discarded."""
        return KINDS["outbox_discarded"].name(self.tagged_prefix)


class ClipKeys(NamedTuple):
    """The keys of one clip."""

    id: str
    record: str
    audio: str
    chunks: str
    shared: "PartitionKeys"

    @property
    def due(self) -> str:
        """The clips of the partition that are to be rendered."""
        return self.shared.clips_due

    @property
    def outbox(self) -> str:
        """What has happened in the partition."""
        return self.shared.outbox

    @property
    def outbox_discarded(self) -> str:
        """The count of what the outbox's bound has discarded."""
        return self.shared.outbox_discarded

    def of_key(self, creator: str) -> str:
        """The clips of an API key in this partition."""
        return self.shared.clips(creator)


class PartitionKeys(NamedTuple):
    """The keys that a partition's conversations share."""

    partition: int
    unowned: str
    leases: str
    tagged_prefix: str

    @property
    def loads(self) -> str:
        """How many conversations each worker owns."""
        return KINDS["loads"].name(self.tagged_prefix)

    def made(self, creator: str) -> str:
        """The conversations in this partition that a creator has made and that have not ended."""
        return KINDS["made"].name(self.tagged_prefix, creator)

    def clips(self, creator: str) -> str:
        """The clips of an API key in this partition."""
        return KINDS["clips"].name(self.tagged_prefix, creator)

    @property
    def clips_due(self) -> str:
        """The clips of this partition that are to be rendered."""
        return KINDS["clips_due"].name(self.tagged_prefix)

    @property
    def upkeep(self) -> str:
        """The worker that maintains the partition's indexes."""
        return KINDS["upkeep"].name(self.tagged_prefix)

    def usage(self, app: str, day: str) -> str:
        """What the conversations of an API key in this partition used on a day."""
        return KINDS["usage"].name(self.tagged_prefix, f"{app}:{day}")

    def usage_apps(self, day: str) -> str:
        """The API keys with usage in this partition on a day."""
        return KINDS["usage_apps"].name(self.tagged_prefix, day)

    @property
    def reaper(self) -> str:
        """Where the reaper's scan of a server continues."""
        return KINDS["reaper"].name(self.tagged_prefix)

    @property
    def accounts_due(self) -> str:
        """When usage counts what the accounts of the partition's conversations have."""
        return KINDS["accounts_due"].name(self.tagged_prefix)

    @property
    def recordings(self) -> str:
        """The recordings that are not finished."""
        return KINDS["recordings"].name(self.tagged_prefix)

    @property
    def outbox(self) -> str:
        """What has happened in the partition's conversations."""
        return KINDS["outbox"].name(self.tagged_prefix)

    @property
    def outbox_discarded(self) -> str:
        """The count of what the outbox's bound has discarded."""
        return KINDS["outbox_discarded"].name(self.tagged_prefix)

    def webhook(self, delivery: str) -> str:
        """A delivery."""
        return KINDS["webhook"].name(self.tagged_prefix, delivery)

    @property
    def webhooks_due(self) -> str:
        """The deliveries whose attempts have not ended."""
        return KINDS["webhooks_due"].name(self.tagged_prefix)

    @property
    def webhooks_sent(self) -> str:
        """Those for which a task was sent lately."""
        return KINDS["webhooks_sent"].name(self.tagged_prefix)

    @property
    def webhooks_dead(self) -> str:
        """Those that are not attempted any more."""
        return KINDS["webhooks_dead"].name(self.tagged_prefix)

    def webhook_slots(self, endpoint: str) -> str:
        """The attempts that run at an endpoint of this partition."""
        return KINDS["webhook_slots"].name(self.tagged_prefix, endpoint)

    def webhook_endpoint(self, endpoint: str) -> str:
        """What the last attempts have shown of it."""
        return KINDS["webhook_endpoint"].name(self.tagged_prefix, endpoint)

    @property
    def meta_pattern(self) -> str:
        """A pattern of all records' keys, for SCAN."""
        return KINDS["meta"].name(self.tagged_prefix, "*")

    def job_role(self, role: str) -> str:
        """The process that last did the work of a role of the jobs service."""
        return KINDS["job_role"].name(self.tagged_prefix, role)

    def tick(self, name: str) -> str:
        """The beat that has sent a tick in this interval."""
        return KINDS["tick"].name(self.tagged_prefix, name)

    def task_deliveries(self, task: str) -> str:
        """How often the broker has delivered a task again."""
        return KINDS["task_deliveries"].name(self.tagged_prefix, task)

    def heartbeat(self, name: str) -> str:
        """The heartbeat of one Redis client."""
        return KINDS["heartbeat"].name(self.tagged_prefix, name)


class KeySpace:
    """Names keys for a fixed number of partitions.

    Args:
        partitions: How many hash tags the conversations are spread over; every process of one relay
            must use the same number, and it cannot change while conversations live.
        prefix: The start of every name; the same for every process of one relay.
    """

    def __init__(self, partitions: int = DEFAULT_PARTITIONS, prefix: str = DEFAULT_KEY_PREFIX) -> None:
        self.partitions = partitions
        self.prefix = prefix
        self.installation = KINDS["installation"].name(prefix)
        # Names are built once per conversation and process, not once per frame.
        self.conversation = lru_cache(maxsize=100_000)(self._conversation)

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The key space of a process."""
        return cls(settings.partitions, settings.key_prefix)

    def partition(self, conversation: str) -> int:
        """The conversation's partition: CRC-32 of its id, so every language computes the same."""
        return zlib.crc32(conversation.encode()) % self.partitions

    def clip(self, clip: str) -> ClipKeys:
        """The keys of a clip, whose partition is found as that of a conversation."""
        shared = self.shared(self.partition(clip))
        record, audio, chunks = (
            KINDS[kind].name(shared.tagged_prefix, clip) for kind in ("clip", "clip_audio", "clip_chunks")
        )
        return ClipKeys(clip, record, audio, chunks, shared)

    def shared(self, partition: int) -> PartitionKeys:
        """The keys of a partition."""
        prefix = f"{self.prefix}:{{p{partition:02d}}}"
        return PartitionKeys(partition, KINDS["unowned"].name(prefix), KINDS["leases"].name(prefix), prefix)

    def _conversation(self, conversation: str) -> ConversationKeys:
        partition, unowned, leases, prefix = self.shared(self.partition(conversation))
        return ConversationKeys(
            id=conversation,
            partition=partition,
            down=KINDS["down"].name(prefix, conversation),
            up=KINDS["up"].name(prefix, conversation),
            meta=KINDS["meta"].name(prefix, conversation),
            lease=KINDS["lease"].name(prefix, conversation),
            unowned=unowned,
            leases=leases,
            tagged_prefix=prefix,
        )

"""Key kinds: every key the relay uses in Redis, by its pattern and its type.

Names are built from this list, and types are found in it. A key of another type was written by another
program. The client deletes it, and the caller that finds the key missing restores it or continues without
it, as after any other loss.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

CONSUMER_GROUP = "ingest"
"""The group of the queues of conversations without an owner."""
JOBS_GROUP = "jobs"
"""The group of the outboxes."""

KeyType = Literal["stream", "hash", "zset", "set", "string"]


class KeyKind(NamedTuple):
    """One kind of key."""

    pattern: str
    """The name behind the prefix; ``{}`` is the variable part, if there is one."""
    type: KeyType
    content: str
    """What its value is, for the reference page."""
    tagged: bool = True
    """Whether the partition's hash tag precedes the pattern: a script needs all its keys in one slot."""

    def name(self, prefix: str, variable: str = "") -> str:
        """The name of a key.

        Args:
            prefix: The relay's prefix, followed by the hash tag if the kind is ``tagged``.
            variable: The variable part.
        """
        return f"{prefix}:{self.pattern.replace('{}', variable)}"


KINDS: Final[Mapping[str, KeyKind]] = MappingProxyType(
    {
        "down": KeyKind(
            "c:{}:down",
            "stream",
            "the frames of a conversation: the id is the position, field `f` the frame, `traceparent`"
            " and `tracestate` its trace context when the turn is sampled",
        ),
        "up": KeyKind("c:{}:up", "stream", "speech, interrupts and reports on their way to the owner"),
        "meta": KeyKind("c:{}:meta", "hash", "the conversation's record"),
        "lease": KeyKind("c:{}:lease", "string", "`<owner> <generation>`; expires"),
        "unowned": KeyKind(
            "unowned", "stream", f"conversations that need an owner; consumer group `{CONSUMER_GROUP}`"
        ),
        "leases": KeyKind(
            "leases", "zset", "conversations by the expiry of their lease, in ms since the epoch"
        ),
        "loads": KeyKind(
            "loads",
            "hash",
            "the active and owned conversations of each worker, in partition 0; expires",
        ),
        "made": KeyKind("made:{}", "set", "the conversations of one API key that have not ended"),
        "recordings": KeyKind(
            "recordings",
            "zset",
            "conversations whose recording is not finished, by the time in ms at which a worker looks at them"
            " next; only with `RELAY_RECORDINGS_URL`",
        ),
        "outbox": KeyKind(
            "outbox",
            "stream",
            "what has happened in conversations, for jobs; bounded in entries; consumer group"
            f" `{JOBS_GROUP}`; only with `RELAY_JOBS`",
        ),
        "outbox_discarded": KeyKind(
            "outbox_discarded", "string", "how many entries of the outbox its bound has discarded"
        ),
        "clip": KeyKind(
            "clip:{}:record", "hash", "a clip: its state, progress and claim; only with `RELAY_CLIPS`"
        ),
        "clip_audio": KeyKind(
            "clip:{}:audio", "string", "the audio of a clip that is to be rendered, as PCM"
        ),
        "clip_chunks": KeyKind(
            "clip:{}:chunks",
            "stream",
            "a rendered clip: field `d` is audio, `m` the motion that follows it, as in `up`",
        ),
        "clips": KeyKind("clips:{}", "hash", "the clips of one API key, with the bytes of each"),
        "clips_due": KeyKind(
            "clips_due",
            "zset",
            "clips to be rendered, by when, in ms since the epoch: at once, or when a claim or a pause ends",
        ),
        "webhook": KeyKind(
            "webhook:{}", "hash", "a delivery: one event for one endpoint, with its body and its attempts"
        ),
        "webhooks_due": KeyKind(
            "webhooks_due", "zset", "deliveries by the time of their next attempt, in ms since the epoch"
        ),
        "webhooks_sent": KeyKind(
            "webhooks_sent", "zset", "deliveries by the time when a task for them was sent last"
        ),
        "webhooks_dead": KeyKind(
            "webhooks_dead", "zset", "deliveries that are not attempted any more, by the time of their end"
        ),
        "webhook_slots": KeyKind(
            "webhook_slots:{}", "zset", "attempts that run at one endpoint, by the time of their end; expires"
        ),
        "webhook_endpoint": KeyKind(
            "webhook_endpoint:{}", "hash", "the last failures of one endpoint; expires"
        ),
        "upkeep": KeyKind("upkeep", "string", "the worker that maintains the partition's indexes; expires"),
        "usage": KeyKind(
            "usage:{}",
            "hash",
            "`<API key id>:<day>`: what the conversations of one API key used on one UTC day, as counters;"
            " expires",
        ),
        "usage_apps": KeyKind("usage_apps:{}", "set", "the API keys with usage on one UTC day; expires"),
        "account": KeyKind(
            "c:{}:account", "hash", "what usage has still to count of a conversation; expires"
        ),
        "accounts_due": KeyKind(
            "accounts_due",
            "zset",
            "conversations by the time at which usage counts it, in ms since the epoch",
        ),
        "reaper": KeyKind("reaper", "hash", "where the reaper's scan of a server continues; expires"),
        "orphans": KeyKind(
            "orphans",
            "zset",
            "conversations whose record is gone, by the time at which that was found, in ms",
        ),
        "job_role": KeyKind(
            "job_role:{}",
            "string",
            "the process of the jobs service that last did the work of a role, in partition 0; expires",
        ),
        "tick": KeyKind("tick:{}", "string", "the beat that has sent a tick, in partition 0; expires"),
        "task_deliveries": KeyKind(
            "task_deliveries:{}",
            "string",
            "how often the broker has delivered one task again, in partition 0; expires",
        ),
        "heartbeat": KeyKind(
            "heartbeat:{}", "hash", "the last heartbeat of one Redis client; also a channel; expires"
        ),
        "installation": KeyKind(
            "installation", "string", "the constants that all processes share, as JSON", tagged=False
        ),
    }
)
"""By name, every kind of key."""


_TYPES: Final = tuple(
    (
        re.compile(rb".+:\{p\d+\}:" + re.escape(kind.pattern).replace(r"\{\}", ".*").encode(), re.DOTALL),
        kind.type.encode(),
    )
    for kind in KINDS.values()
    if kind.tagged
)


def type_of(key: str | bytes) -> bytes | None:
    """The type that a key must have, by its name.

    None for a key that is not the relay's, and for one without a hash tag: a disagreement about that one ends
    the process, so the client must not delete it.
    """
    name = key.encode() if isinstance(key, str) else key
    return next((key_type for pattern, key_type in _TYPES if pattern.fullmatch(name)), None)

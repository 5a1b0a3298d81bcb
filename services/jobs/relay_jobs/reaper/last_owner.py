"""The last owner: ends a conversation that no worker has ended, as a worker would.

It claims the conversation, publishes the last frames of the turn machine with their events, and finishes. So
whoever reads the stream, the record or the outbox finds what it finds after any other end. It never speaks.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay_jobs.job import Resources
from relay_redis.errors import StoreError
from relay_streams.conversations import Conversation
from relay_streams.keys import ConversationKeys
from relay_streams.leases import Assignment, Lease, Leases, UplinkProgress
from relay_streams.publisher import Publisher
from relay_turns.conversation_events import ConversationEvents
from relay_turns.effects import Publish
from relay_turns.machine import TurnMachine
from relay_turns.rules import Rules
from relay_turns.state import TurnState

OWNER = "reaper"
"""Its name in records and leases."""
_LEASE_MS = 10_000
_PUBLISH_S = 5.0
"""Longest wait until the last frames are stored; less than the lease."""


async def end(resources: Resources, keys: ConversationKeys, reason: str) -> bool:
    """End a conversation without an owner.

    Safe to repeat, and to cancel: the lease expires then, and any owner continues.

    Args:
        resources: The job's.
        keys: The conversation.
        reason: Of the end, as viewers get it.

    Returns:
        Whether it has ended. False: it has an owner, has ended already, or another owner took over.

    Raises:
        Unreadable: A later version of the relay wrote the record.
        Unavailable: Redis cannot run it now.
    """
    leases = Leases(resources.client, resources.keys, owner=OWNER, lease_ms=_LEASE_MS)
    lease = await leases.claim(Assignment(keys.unowned, "", keys.id))
    if lease is None or not await _publish(resources, lease, reason):
        return False
    settings, recorded = resources.settings, lease.conversation.recorded
    return await leases.finish(
        lease,
        keep_frames_ms=settings.keep_frames_ms(recorded=recorded),
        keep_record_ms=settings.keep_record_ms(recorded=recorded),
    )


async def _publish(resources: Resources, lease: Lease, reason: str) -> bool:
    """Publish the last frames. False when another owner has taken over, or Redis has not stored them."""
    record = lease.conversation
    machine = TurnMachine(Rules(sample_rate=record.sample_rate), TurnState.restore(record.checkpoint))
    if machine.phase == "closed":
        return True  # the last owner has published them
    lost: list[StoreError] = []
    publisher = await resources.opened(_publisher)
    writer = publisher.open(lease, progress=lambda: _progress(record), on_lost=lost.append)
    events = ConversationEvents(
        machine.state,
        sample_rate=record.sample_rate,
        enabled=resources.settings.jobs,
        recorded=record.recorded,
    )
    now = time.monotonic()
    effects = machine.start(now, record.last_position) + machine.close(now, reason)
    publishes = [effect for effect in effects if isinstance(effect, Publish)]
    state, found = events.record(machine.state, publishes, {})
    writer.append(publishes, checkpoint=state.encode(), turn_phase=machine.phase, events=found)
    try:
        async with asyncio.timeout(_PUBLISH_S):
            await writer.drained()
    except TimeoutError:
        return False
    finally:
        writer.close()
    return not lost


def _progress(record: Conversation) -> UplinkProgress:
    return UplinkProgress(
        record.uplink_cursor, record.input_turn, record.input_offset, record.input_state, record.input_key,
        record.input_trace.encode(),
    )  # fmt: skip


@asynccontextmanager
async def _publisher(resources: Resources) -> AsyncIterator[Publisher]:
    settings = resources.settings
    async with Publisher(
        settings.store_url,
        timeout_s=settings.redis_timeout_s,
        outbox_entries=settings.outbox_entries,
    ) as publisher:
        yield publisher

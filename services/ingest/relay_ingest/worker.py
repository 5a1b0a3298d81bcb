"""The worker: claims conversations without an owner, renews their leases, and hands them over when it
drains.
"""

import asyncio
import time
from contextlib import suppress
from functools import partial

import structlog
from prometheus_client import Counter, Gauge

from relay_ingest.agents.registry import AgentRegistry
from relay_ingest.capacity import Capacity
from relay_ingest.claim_schedule import ClaimSchedule
from relay_ingest.demand import Demand
from relay_ingest.end_reasons import CLOSED, DEFECT, UNREADABLE
from relay_ingest.error_boundary import ErrorBoundary
from relay_ingest.motion.pool import UnlimitedPool
from relay_ingest.motion.vendor import Vendor
from relay_ingest.owner import Owner
from relay_ingest.store_failures import store_failed, store_may_fail
from relay_ingest.unowned import UnownedMonitor
from relay_ingest.upkeep import IndexUpkeep
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_runtime.tasks import TaskScope
from relay_settings.ingest import IngestSettings
from relay_streams import conversations, reaping
from relay_streams.consumer import StreamConsumer
from relay_streams.errors import Ended, Fenced, Missing, Unreadable
from relay_streams.heartbeat import Heartbeat
from relay_streams.installation import Installation
from relay_streams.keys import PartitionKeys
from relay_streams.leases import Assignment, Lease, Leases, Queue
from relay_streams.publisher import Publisher
from relay_streams.uplink import Uplink, UplinkLimits
from relay_telemetry.counter import counter, declared
from relay_wire.uplink import Close

IDLE = "idle"
"""The reason of the end of a conversation without viewers and activity."""

OWNED = Gauge("relay_ingest_conversations", "Conversations this worker owns.")
CAPACITY = Gauge("relay_ingest_capacity", "Conversations this worker may own.")
CLAIMED = Counter("relay_ingest_claimed_total", "Conversations claimed, new ones and those of former owners.")
LOST = counter(
    "relay_ingest_lost_total",
    "Conversations this worker lost: to another owner, or because Redis refused a write.",
    reason=("fenced", "refused", "missing", "storeerror"),
)
RELEASED = counter(
    "relay_ingest_released_total", "Conversations handed over or ended.", how=("handed_over", "ended")
)
DEFERRED = counter(
    "relay_ingest_deferred_total",
    "Claims deferred: a later version wrote the record, or starting the owner failed.",
    reason=("later_format", "defect"),
)
UPLINK_OLDEST = Gauge(
    "relay_ingest_uplink_oldest_seconds",
    "Age of the oldest uplink entry that this worker has read and not handled: speech of a later turn.",
)
ACTIVE = Gauge("relay_ingest_active_conversations", "Conversations of this worker with recent activity.")
ENDED = counter(
    "relay_ingest_ended_total",
    "Conversations that ended, by reason.",
    reason=("deleted", "viewer_left", IDLE, reaping.EXPIRED, CLOSED, DEFECT, UNREADABLE, "other"),
)
EXPIRED = Counter("relay_ingest_expired_total", "Expired leases found, of any worker.")

_RENEWALS_PER_LEASE = 4
CLAIM_BACKOFF_S = 0.2
"""How much later a full worker claims than an empty one, so that the emptier one claims first."""
_ASSIGNMENTS_AT_ONCE = 4
"""Most assignments dequeued at once, so that other workers get some."""
_FRESH_SCANS = 10
"""How many intervals of scans a scan counts for autoscalers."""

log = structlog.get_logger(__name__)


class Worker:
    """Owns up to ``max_conversations`` active conversations. Created by ``worker``."""

    def __init__(
        self,
        settings: IngestSettings,
        *,
        name: str,
        installation: Installation,
        heartbeat: Heartbeat,
        client: RedisClient,
        consumer: StreamConsumer,
        publisher: Publisher,
        vendor: Vendor,
        agents: AgentRegistry,
        tasks: TaskScope,
    ) -> None:
        self.name = name
        self._settings = settings
        self._keys = installation.keys
        self._installation = installation
        self.heartbeat = heartbeat
        self._leases = Leases(
            client, self._keys, owner=name, lease_ms=settings.lease_ms, accepted=agents.accepted
        )
        self._client = client
        self._consumer = consumer
        self._publisher = publisher
        self._agents = agents
        self._uplink = Uplink(client, UplinkLimits.of(settings))
        self._spawn = partial(tasks.spawn, name="owner")
        self._boundary = ErrorBoundary(self._spawn, lambda: None, worker=name)
        self._pool = UnlimitedPool(vendor, close_s=settings.motion_close_s, spawn=self._boundary.spawn)
        self._owners: dict[str, Owner] = {}
        self._draining = False
        self._partitions = {
            shared.unowned.encode(): shared for shared in map(self._keys.shared, range(settings.partitions))
        }
        self.upkeep = IndexUpkeep(self._leases, [*self._partitions.values()], settings, self._boundary)
        self._schedule = ClaimSchedule()
        self._scheduled = asyncio.Event()
        """Set while the schedule has a queue."""
        self._renew_now = asyncio.Event()
        self._capacity = Capacity(settings.max_conversations, settings.max_idle_conversations)
        self._unowned = UnownedMonitor(settings.owner_wait_s)
        self._demand = Demand(self._capacity, fresh_s=_FRESH_SCANS * settings.ingest_lease_scan_s)
        self._active = 0
        """Owned conversations with recent activity, as counted last."""
        CAPACITY.set(settings.max_conversations)

    @property
    def queues(self) -> list[str]:
        """The streams of conversations without an owner."""
        return [shared.unowned for shared in self._partitions.values()]

    def readiness(self) -> str:
        """Why no conversation can be claimed; empty when one can."""
        return self.heartbeat.readiness() or self._installation.readiness()

    def demand(self) -> dict[str, float] | None:
        """How many workers the whole relay needs, for autoscalers; None when that is not known."""
        return self._demand.document(asyncio.get_running_loop().time())

    def on_notification(self, unowned: bytes, _: bytes = b"") -> None:
        """Schedule claims from a partition's queue, which has new entries."""
        self._schedule.notify(unowned, self._claim_time())
        self._scheduled.set()

    async def claim(self) -> None:
        """Claim conversations from the queues that are due, while there is capacity. Runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._scheduled.wait()
            wait_s = self._schedule.due - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                continue  # A notification may have changed the schedule meanwhile.
            queue = self._schedule.pop()
            if not self._schedule:
                self._scheduled.clear()
            with self._boundary("worker"), store_may_fail("dequeue"):
                await self._claim_from(self._partitions[queue])

    async def scan(self) -> None:
        """Find expired leases, and queues whose notifications were lost. Runs until cancelled."""
        loop, lease_s = asyncio.get_running_loop(), self._settings.lease_ms / 1000
        steady_since = scanned_at = loop.time()
        while True:
            await asyncio.sleep(self._settings.ingest_lease_scan_s)
            # After an outage of Redis, or a suspension of this process, owners may renew expired leases.
            if loop.time() - scanned_at > self._settings.ingest_lease_scan_s + lease_s / 2:
                steady_since = loop.time()
            scanned_at = loop.time()
            steady_s = min(self._client.connected_for_s, scanned_at - steady_since)
            with self._boundary("worker"):
                await self._scan(100 if steady_s > lease_s else 0)

    async def _scan(self, limit: int) -> None:
        queues: list[Queue] = []
        failures: list[StoreError] = []
        for unowned, partition in self._partitions.items():
            try:
                queues.append(await self._leases.expire(partition, limit))
            except StoreError as error:
                failures.append(error)
            self._schedule.scan(unowned, self._claim_time())
            self._scheduled.set()
        store_failed("scan", *failures)
        EXPIRED.inc(sum(queue.requeued for queue in queues))
        self._unowned.report(queues, owned=len(self._owners), active=self._active)
        if not failures:
            await self._measure_demand(queues)

    async def _measure_demand(self, queues: list[Queue]) -> None:
        # What this worker reports counts until its leases would have expired, had it died.
        keep_ms = self._settings.lease_ms + int(self._settings.ingest_lease_scan_s * 1000)
        with store_may_fail("report_load"):
            load = await self._leases.report_load(
                active=self._active, owned=len(self._owners), keep_ms=keep_ms
            )
            self._demand.update(queues, load, asyncio.get_running_loop().time())

    async def renew(self) -> None:
        """Renew the leases, and trim the owners' retransmit buffers. Runs until cancelled."""
        self._client.on_connect(self._renew_now.set)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.lease_ms / 1000 / _RENEWALS_PER_LEASE):
                    await self._renew_now.wait()
            self._renew_now.clear()
            with self._boundary("worker"):
                await self._renew()

    async def _renew(self) -> None:
        renewal = await self._leases.renew([owner.lease for owner in self._owners.values()])
        store_failed("renew", *renewal.failures)
        for conversation in renewal.lost:
            if owner := self._owners.get(conversation):
                owner.stop()
                self._lost(owner, Fenced(0))
        for conversation in renewal.gone:
            if owner := self._owners.get(conversation):
                owner.writer.restore("gone")
        oldest = time.monotonic() - self._settings.republish_s
        for owner in self._owners.values():
            owner.writer.trim(oldest)
        self._count()
        if self._settings.conversation_idle_s:
            for owner in list(self._owners.values()):
                if owner.idle_s > self._settings.conversation_idle_s:
                    owner.mark_active(0)  # One check at a time.
                    self._boundary.spawn(self._end_if_idle(owner))

    async def _end_if_idle(self, owner: Owner) -> None:
        with store_may_fail("end"), suppress(Missing, Ended):
            attendance = await conversations.attendance(self._client, owner.lease.keys)
            if attendance.unseen_s > self._settings.conversation_idle_s:
                await self._uplink.append(owner.lease.keys, Close(IDLE))
            else:
                owner.mark_active(attendance.unseen_s)

    def _count(self) -> None:
        active_s = self._settings.conversation_active_s
        self._active = sum(owner.idle_s < active_s for owner in self._owners.values())
        OWNED.set(len(self._owners))
        ACTIVE.set(self._active)
        deferred = [owner.deferred_ms for owner in self._owners.values() if owner.deferred_ms]
        UPLINK_OLDEST.set(max(time.time() - min(deferred) / 1000, 0.0) if deferred else 0.0)

    async def drain(self) -> None:
        """Claim nothing more and hand every conversation over at a turn boundary, within ``drain_s``."""
        self._draining = True
        await asyncio.gather(*(self._hand_over(owner) for owner in list(self._owners.values())))
        await self.upkeep.leave()

    # --- one conversation ----------------------------------------------------------------------

    def _claim_time(self) -> float:
        """When to claim after a notification now: the emptier this worker, the sooner."""
        load = self._capacity.load(self._active, len(self._owners))
        return asyncio.get_running_loop().time() + CLAIM_BACKOFF_S * load

    async def _claim_from(self, partition: PartitionKeys) -> None:
        room = min(self._capacity.room(self._active, len(self._owners)), _ASSIGNMENTS_AT_ONCE)
        if room > 0 and not self._draining:
            assignments = await self._leases.dequeue(partition, room)
            for assignment in assignments:
                await self._claim(assignment)
            if len(assignments) == room:
                self.on_notification(partition.unowned.encode())

    async def _claim(self, assignment: Assignment) -> None:
        """Claim an assigned conversation and start its owner. A failure affects no other assignment."""
        try:
            lease = await self._leases.claim(assignment)
            if lease is not None and self._draining:
                await self._leases.release(lease)
            elif lease is not None:
                self._start_owner(lease)
        except Unreadable as error:
            await self._defer(assignment, "later_format", str(error))
        except StoreError as error:
            store_failed("claim", error)
        except Exception as error:  # noqa: BLE001  # the root of one conversation
            self._boundary.report("worker", error)
            await self._defer(assignment, "defect", "the owner could not be started")

    async def _defer(self, assignment: Assignment, reason: str, detail: str) -> None:
        DEFERRED.labels(reason).inc()
        with store_may_fail("defer"):
            wait_s = await self._leases.defer(assignment)
            log.warning("claim deferred", conversation=assignment.conversation, detail=detail, wait_s=wait_s)

    def _start_owner(self, lease: Lease) -> None:
        CLAIMED.inc()
        if lease.replaced:
            fields = [name.decode(errors="replace") for name in lease.replaced]
            log.error("record damaged, the conversation ends", conversation=lease.keys.id, fields=fields)
        if former := self._owners.get(lease.keys.id):
            # This worker's own lease expired while the process was suspended, and it claimed first.
            former.stop()
            self._lost(former, Fenced(lease.generation))
        owner = Owner(
            lease,
            consumer=self._consumer,
            publisher=self._publisher,
            up=self._uplink,
            registry=self._agents,
            pool=self._pool,
            settings=self._settings,
            spawn=self._spawn,
            on_lost=self._lost,
            on_closed=self._closed,
        )
        self._owners[lease.keys.id] = owner
        owner.start()
        self._active += 1  # Until the next count.
        OWNED.set(len(self._owners))
        log.info("conversation claimed", conversation=lease.keys.id, generation=lease.generation)

    async def _hand_over(self, owner: Owner) -> None:
        await owner.retire(self._settings.drain_s)
        owner.stop()
        self._remove(owner)
        with store_may_fail("release"):
            await self._leases.release(owner.lease)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.redis_timeout_s):
                await owner.sessions.drained()
        RELEASED.labels("handed_over").inc()

    def _lost(self, owner: Owner, error: StoreError) -> None:
        LOST.labels(type(error).__name__.lower()).inc()
        self._remove(owner)

    def _closed(self, owner: Owner, reason: str) -> None:
        ENDED.labels(reason if reason in declared(ENDED)["reason"] else "other").inc()
        self._boundary.spawn(self._finish(owner))

    async def _finish(self, owner: Owner) -> None:
        await owner.writer.drained()
        owner.stop()
        self._remove(owner)
        settings, recorded = self._settings, owner.lease.conversation.recorded
        # On a failure the lease expires, and the next owner ends the conversation.
        with store_may_fail("finish"):
            await self._leases.finish(
                owner.lease,
                keep_frames_ms=settings.keep_frames_ms(recorded=recorded),
                keep_record_ms=settings.keep_record_ms(recorded=recorded),
            )
        RELEASED.labels("ended").inc()

    def _remove(self, owner: Owner) -> None:
        if self._owners.get(owner.conversation) is owner:
            del self._owners[owner.conversation]
        OWNED.set(len(self._owners))

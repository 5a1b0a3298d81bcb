"""The worker: takes conversations that need an owner, keeps their leases, and hands them over."""

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog
from prometheus_client import Counter, Gauge

from relay_ingest.agents.registry import AgentRegistry
from relay_ingest.capacity import Capacity
from relay_ingest.claim_schedule import ClaimSchedule
from relay_ingest.error_boundary import ErrorBoundary, store_failed, store_may_fail
from relay_ingest.maintenance import IndexMaintenance
from relay_ingest.motion.pool import UnlimitedPool
from relay_ingest.motion.vendor import Vendor
from relay_ingest.owner import CLOSED, DEFECT, UNREADABLE, Owner
from relay_ingest.unowned import UnownedMonitor
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_redis.pubsub import PubSub
from relay_runtime.process import Process
from relay_runtime.tasks import TaskScope
from relay_settings.ingest import IngestSettings
from relay_streams import conversations
from relay_streams.consumer import StreamConsumer
from relay_streams.errors import Ended, Fenced, Missing, Unreadable
from relay_streams.heartbeat import Heartbeat
from relay_streams.installation import Installation, installed
from relay_streams.keys import KeySpace, PartitionKeys
from relay_streams.leases import Assignment, Lease, Leases
from relay_streams.publisher import Publisher
from relay_streams.scripts import SCHEMA
from relay_streams.uplink import Uplink, UplinkLimits
from relay_telemetry.counter import counter, declared
from relay_wire.uplink import Close

IDLE = "idle"
"""Why a conversation ends that nobody uses."""

OWNED = Gauge("relay_ingest_conversations", "Conversations this worker owns.")
CAPACITY = Gauge("relay_ingest_capacity", "Conversations this worker may own.")
CLAIMED = Counter("relay_ingest_claimed_total", "Conversations taken over or taken up.")
LOST = counter(
    "relay_ingest_lost_total",
    "Conversations this worker lost: to another owner, or because Redis refused it.",
    reason=("fenced", "refused", "missing", "storeerror"),
)
RELEASED = counter(
    "relay_ingest_released_total", "Conversations given up or ended.", how=("handed_over", "ended")
)
DEFERRED = counter(
    "relay_ingest_deferred_total",
    "Conversations put off: a later version wrote their record, or taking them failed.",
    reason=("later_format", "defect"),
)
ACTIVE = Gauge("relay_ingest_active_conversations", "Those of them that were spoken in of late.")
ENDED = counter(
    "relay_ingest_ended_total",
    "Conversations that ended, by reason.",
    reason=("deleted", "viewer_left", IDLE, CLOSED, DEFECT, UNREADABLE, "other"),
)
EXPIRED = Counter("relay_ingest_expired_total", "Leases of other workers found run out.")

_RENEWALS_PER_LEASE = 4
_HEAD_START_S = 0.2
"""How much later a full worker reaches for an offer than an empty one: the emptier one gets it."""
_TAKEN_AT_ONCE = 4
"""Most offers of a partition taken before others may have some."""

log = structlog.get_logger(__name__)


class Worker:
    """Owns up to ``max_conversations`` at once. Made by ``worker``."""

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
        self._registry = Leases(client, self._keys, owner=name, lease_ms=settings.lease_ms)
        self._client = client
        self._consumer = consumer
        self._publisher = publisher
        self._agents = agents
        self._uplink = Uplink(client, UplinkLimits.of(settings))
        self._spawn = partial(tasks.spawn, name="owner")
        self._contained = ErrorBoundary(self._spawn, lambda: None, worker=name)
        self._pool = UnlimitedPool(vendor, close_s=settings.motion_close_s, spawn=self._contained.spawn)
        self._owners: dict[str, Owner] = {}
        self._draining = False
        self._partitions = {
            shared.unowned.encode(): shared for shared in map(self._keys.shared, range(settings.partitions))
        }
        self.upkeep = IndexMaintenance(
            self._registry, [*self._partitions.values()], settings, self._contained
        )
        """What mends the indexes."""
        self._offers = ClaimSchedule()
        self._work = asyncio.Event()
        """Set while there are offers."""
        self._renew_now = asyncio.Event()
        self._capacity = Capacity(settings.max_conversations, settings.max_idle_conversations)
        self._waiting = UnownedMonitor(settings.owner_wait_s)
        self._active = 0
        """Owned conversations that were spoken in of late, when it was counted last."""
        CAPACITY.set(settings.max_conversations)

    @property
    def queues(self) -> list[str]:
        """The streams of conversations that need an owner."""
        return [shared.unowned for shared in self._partitions.values()]

    def readiness(self) -> str:
        """Why no conversation would be taken, or nothing."""
        return self.heartbeat.readiness() or self._installation.readiness()

    def offered(self, unowned: bytes, _: bytes = b"") -> None:
        """A partition's queue moved."""
        self._offers.hear(unowned, self._due())
        self._work.set()

    async def take(self) -> None:
        """Take what is offered, for as long as there is room. Runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            wait_s = self._offers.due - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                continue  # A hint may have moved it meanwhile.
            queue = self._offers.pop()
            if not self._offers:
                self._work.clear()
            with self._contained("worker"), store_may_fail("take"):
                await self._take_from(self._partitions[queue])

    async def sweep(self) -> None:
        """Find leases that ran out and queues whose hints were lost. Runs until cancelled."""
        loop, lease_s = asyncio.get_running_loop(), self._settings.lease_ms / 1000
        steady_since = swept_at = loop.time()
        while True:
            await asyncio.sleep(self._settings.ingest_lease_scan_s)
            # When Redis, or this process, was away, every lease has run out: owners may renew theirs first.
            if loop.time() - swept_at > self._settings.ingest_lease_scan_s + lease_s / 2:
                steady_since = loop.time()
            swept_at = loop.time()
            steady_s = min(self._client.connected_for_s, swept_at - steady_since)
            with self._contained("worker"):
                queues = []
                for unowned, partition in self._partitions.items():
                    with store_may_fail("sweep"):
                        queues.append(
                            await self._registry.expire(partition, 100 if steady_s > lease_s else 0)
                        )
                    self._offers.sweep(unowned, self._due())
                    self._work.set()
                EXPIRED.inc(sum(queue.requeued for queue in queues))
                self._waiting.measure(queues, owned=len(self._owners), active=self._active)

    async def renew(self) -> None:
        """Keep the leases; let the owners forget what no fail-over can have lost. Runs until cancelled."""
        self._client.on_connect(self._renew_now.set)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.lease_ms / 1000 / _RENEWALS_PER_LEASE):
                    await self._renew_now.wait()
            self._renew_now.clear()
            with self._contained("worker"):
                await self._renew()

    async def _renew(self) -> None:
        renewal = await self._registry.renew([owner.lease for owner in self._owners.values()])
        for error in renewal.failures:
            store_failed("renew", error)
        for conversation in renewal.lost:
            if owner := self._owners.get(conversation):
                owner.stop()
                self._lost(owner, Fenced(0))
        for conversation in renewal.gone:
            if owner := self._owners.get(conversation):
                owner.writer.restore("gone")
        oldest = time.monotonic() - self._settings.republish_s
        for owner in self._owners.values():
            owner.writer.forget(oldest)
        self._count()
        if self._settings.conversation_idle_s:
            for owner in list(self._owners.values()):
                if owner.silent_s > self._settings.conversation_idle_s:
                    owner.watched(0)  # It is asked about once.
                    self._contained.spawn(self._end_if_idle(owner))

    async def _end_if_idle(self, owner: Owner) -> None:
        with store_may_fail("end"), suppress(Missing, Ended):
            attendance = await conversations.attendance(self._client, owner.lease.keys)
            if attendance.unseen_s > self._settings.conversation_idle_s:
                await self._uplink.append(owner.lease.keys, Close(IDLE))
            else:
                owner.watched(attendance.unseen_s)

    def _count(self) -> None:
        active_s = self._settings.conversation_active_s
        self._active = sum(owner.silent_s < active_s for owner in self._owners.values())
        OWNED.set(len(self._owners))
        ACTIVE.set(self._active)

    async def drain(self) -> None:
        """Take nothing more and hand every conversation over at a turn boundary, within the drain time."""
        self._draining = True
        await asyncio.gather(*(self._hand_over(owner) for owner in list(self._owners.values())))
        await self.upkeep.leave()

    # --- one conversation ----------------------------------------------------------------------

    def _due(self) -> float:
        """When to reach for what is offered now: the emptier this worker, the sooner."""
        load = self._capacity.load(self._active, len(self._owners))
        return asyncio.get_running_loop().time() + _HEAD_START_S * load

    async def _take_from(self, partition: PartitionKeys) -> None:
        room = min(self._capacity.room(self._active, len(self._owners)), _TAKEN_AT_ONCE)
        if room > 0 and not self._draining:
            offers = await self._registry.dequeue(partition, room)
            for offer in offers:
                await self._claim(offer)
            if len(offers) == room:
                self.offered(partition.unowned.encode())

    async def _claim(self, offer: Assignment) -> None:
        """Own what is offered, if it may be. What is wrong with it concerns no other offer."""
        try:
            lease = await self._registry.claim(offer)
            if lease is not None and self._draining:
                await self._registry.release(lease)
            elif lease is not None:
                self._own(lease)
        except Unreadable as error:
            await self._defer(offer, "later_format", str(error))
        except StoreError as error:
            store_failed("claim", error)
        except Exception as error:  # noqa: BLE001  # the root of one conversation
            self._contained.report("worker", error)
            await self._defer(offer, "defect", "taking it failed")

    async def _defer(self, offer: Assignment, reason: str, why: str) -> None:
        DEFERRED.labels(reason).inc()
        with store_may_fail("defer"):
            wait_s = await self._registry.defer(offer)
            log.warning("conversation put off", conversation=offer.conversation, why=why, wait_s=wait_s)

    def _own(self, lease: Lease) -> None:
        CLAIMED.inc()
        if lease.replaced:
            fields = [name.decode(errors="replace") for name in lease.replaced]
            log.error("a record is damaged, the conversation ends", conversation=lease.keys.id, fields=fields)
        if former := self._owners.get(lease.keys.id):
            # Our own lease ran out while we stood still, and we came first.
            former.stop()
            self._lost(former, Fenced(lease.generation))
        self._owners[lease.keys.id] = Owner(
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
        self._active += 1  # Until it is counted.
        OWNED.set(len(self._owners))
        log.info("conversation claimed", conversation=lease.keys.id, generation=lease.generation)

    async def _hand_over(self, owner: Owner) -> None:
        await owner.retire(self._settings.drain_s)
        owner.stop()
        self._forget(owner)
        with store_may_fail("release"):
            await self._registry.release(owner.lease)
        RELEASED.labels("handed_over").inc()

    def _lost(self, owner: Owner, error: StoreError) -> None:
        LOST.labels(type(error).__name__.lower()).inc()
        self._forget(owner)

    def _closed(self, owner: Owner, reason: str) -> None:
        ENDED.labels(reason if reason in declared(ENDED)["reason"] else "other").inc()
        self._contained.spawn(self._finish(owner))

    async def _finish(self, owner: Owner) -> None:
        await owner.writer.drained()
        owner.stop()
        self._forget(owner)
        # Where it fails the lease runs out, and the next owner ends the conversation.
        with store_may_fail("finish"):
            await self._registry.finish(
                owner.lease,
                keep_frames_ms=int(self._settings.keep_ended_s * 1000),
                keep_record_ms=int(self._settings.keep_record_s * 1000),
            )
        RELEASED.labels("ended").inc()

    def _forget(self, owner: Owner) -> None:
        if self._owners.get(owner.conversation) is owner:
            del self._owners[owner.conversation]
        OWNED.set(len(self._owners))


def _unique_name() -> str:
    return f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"


@asynccontextmanager
async def worker(settings: IngestSettings) -> AsyncIterator[Worker]:
    """A worker with its connections to Redis, taking conversations while the block runs."""
    url, timeout_s, keys = settings.store_url, settings.redis_timeout_s, KeySpace.of(settings)
    agents = await asyncio.to_thread(AgentRegistry, settings)
    async with (
        RedisClient(url, SCHEMA, name="ingest", timeout_s=timeout_s) as client,
        installed(client, keys, timeout_s=timeout_s) as installation,
        Publisher(
            url,
            timeout_s=timeout_s,
            retention_bytes=settings.retention_bytes,
            republish_bytes=settings.republish_bytes,
        ) as publisher,
        StreamConsumer(url, name="ingest", timeout_s=timeout_s) as consumer,
        Heartbeat(
            keys,
            (client, publisher.client, consumer.client),
            (consumer.pubsub,),
            interval_s=settings.redis_heartbeat_s,
            timeout_s=timeout_s,
        ) as heartbeat,
        TaskScope() as tasks,
    ):
        service = Worker(
            settings,
            name=settings.worker_name or _unique_name(),
            installation=installation,
            heartbeat=heartbeat,
            client=client,
            consumer=consumer,
            publisher=publisher,
            vendor=Vendor(settings),
            agents=agents,
            tasks=tasks,
        )
        async with (
            PubSub(url, service.offered, name="ingest-queue", timeout_s=timeout_s) as pubsub,
            TaskScope() as loops,
        ):
            heartbeat.watch(pubsub)
            loops.spawn(_work(service, pubsub, loops, installation), name="work")
            yield service
            await service.drain()


async def _work(service: Worker, pubsub: PubSub, loops: TaskScope, installation: Installation) -> None:
    # With other constants than the relay's it would take conversations out of wrong queues.
    await installation.agreed.wait()
    for unowned in service.queues:
        pubsub.subscribe(unowned)
    loops.spawn(service.take(), name="take")
    loops.spawn(service.sweep(), name="sweep")
    loops.spawn(service.renew(), name="renew")
    loops.spawn(service.upkeep.run(), name="upkeep")


async def main(settings: IngestSettings, process: Process) -> None:
    """Own conversations until the process is told to stop."""
    async with worker(settings) as service:
        process.health.add("redis", service.readiness, service.heartbeat.degradation)
        await service.heartbeat.tried()
        process.ready(worker=service.name)
        await process.stopping()

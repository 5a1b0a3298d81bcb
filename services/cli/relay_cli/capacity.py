"""Capacity: the processes, cores, memory and network that N conversations need.

Pure arithmetic on measured costs.
"""

import math
from dataclasses import dataclass, fields

UTILISATION = 0.6
"""Most of its one core that a process may use: bursts and the load of a failed process need the rest."""
REDIS_UTILISATION = 0.6
"""Most of its one core that a shard may use, whatever utilisation is given: all processes depend on it."""
_MOST = 1e9
"""Largest input: larger ones are mistakes, and exceed what a float represents exactly."""
_MAY_BE_ZERO = {"gateway_fixed_cores", "ingest_fixed_cores", "control_fixed_cores", "redis_fixed_cores"}
"""Costs that may be zero: the fixed shares."""


class OutOfRange(ValueError):
    """Raised for an impossible input; ``name`` names it, the text gives the allowed range."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True)
class Demand:
    """The load to plan for.

    Args:
        conversations: Conversations open at a time.
        viewers: Viewers of each conversation, on average.
        speaking: Share of the conversations that speak at a time, above 0 and up to 1.
        utilisation: Share of its core that a process may use, above 0 and up to 1.

    Raises:
        OutOfRange: A value is impossible.
    """

    conversations: int
    viewers: float = 1.0
    speaking: float = 1.0
    utilisation: float = UTILISATION

    def __post_init__(self) -> None:
        for name, most in (("conversations", _MOST), ("viewers", _MOST), ("speaking", 1), ("utilisation", 1)):
            _positive(name, getattr(self, name), most)


@dataclass(frozen=True)
class Costs:
    """The costs of a unit of work; named as in the JSON line of the benchmark, where it has them.

    Args:
        gateway_us: CPU per delivered frame, without the fixed share.
        gateway_fixed_cores: CPU of a gateway under the least load: wake-ups, sweeps.
        gateway_us_per_viewer_s: CPU per second and viewer without speech: pings.
        connection_bytes: Memory of a connected viewer.
        ingest_us: CPU per published frame, without the fixed share; the vendor's SDK included.
        ingest_fixed_cores: CPU of a worker whose conversations are silent: leases, sweeps.
        control_us: CPU per published frame to receive the speech it is made from.
        control_fixed_cores: CPU of a control process without load.
        redis_us: CPU per published frame, without the fixed share: to store the speech it is made from and
            the frame, to publish them, and to notify one gateway.
        redis_fixed_cores: CPU of a shard under the least load.
        retention_bytes: Frames kept of a conversation: its current and its previous turn.
        frames_per_s: Published by a conversation while it speaks.
        viewer_bytes_per_s: To each viewer of a conversation while it speaks.

    Raises:
        OutOfRange: A cost is not above zero; fixed shares may be zero.
    """

    gateway_us: float
    gateway_fixed_cores: float
    gateway_us_per_viewer_s: float
    connection_bytes: float
    ingest_us: float
    ingest_fixed_cores: float
    control_us: float
    control_fixed_cores: float
    redis_us: float
    redis_fixed_cores: float
    retention_bytes: float
    frames_per_s: float
    viewer_bytes_per_s: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (field.name in _MAY_BE_ZERO and value == 0):
                _positive(field.name, value, _MOST)


@dataclass(frozen=True)
class Tier:
    """The processes of one service, and the cores to provide: used cores divided by the utilisation."""

    processes: int
    cores: float


@dataclass(frozen=True)
class Plan:
    """The resources for a demand."""

    demand: Demand
    published_per_s: float
    delivered_per_s: float
    gateway: Tier
    ingest: Tier
    control: Tier
    redis: Tier
    connections_bytes: float
    """Memory of viewers' connections, in all gateways."""
    retained_bytes: float
    """Memory of retained frames, in all shards."""
    network_mbit_per_s: float
    """Traffic from all gateways to viewers."""

    @property
    def cores(self) -> float:
        """Cores to provide for all tiers."""
        return sum(tier.cores for tier in (self.gateway, self.ingest, self.control, self.redis))

    @property
    def cores_per_1000(self) -> float:
        """Cores per 1,000 conversations."""
        return self.cores / self.demand.conversations * 1000

    @property
    def viewers_per_gateway(self) -> float:
        """On average; RELAY_MAX_VIEWERS must allow it."""
        return self.demand.conversations * self.demand.viewers / self.gateway.processes

    @property
    def conversations_per_ingest(self) -> float:
        """On average; RELAY_MAX_CONVERSATIONS must allow it."""
        return self.demand.conversations / self.ingest.processes


def plan(demand: Demand, costs: Costs) -> Plan:
    """Compute the resources for a demand at these costs.

    Frames published a second are conversations x share speaking x frames of a speaking one. Ingest makes each
    once, and Redis stores it once, as it did the speech it was made from. A gateway delivers it to every
    viewer: viewers multiply the gateways' work alone. Each viewer costs its gateway memory and pings, while
    it is silent, too, and frames of silent conversations stay in Redis.

    Every part is proportional to the conversations, apart from rounding up to whole processes. This assumes
    that the cost of a process does not depend on their number; the bench's ``scale`` measures two.

    Raises:
        OutOfRange: The utilisation leaves nothing beside a process's fixed share.
    """
    published_per_s = demand.conversations * demand.speaking * costs.frames_per_s
    delivered_per_s = published_per_s * demand.viewers
    viewers = demand.conversations * demand.viewers
    gateway_us_per_s = delivered_per_s * costs.gateway_us + viewers * costs.gateway_us_per_viewer_s
    redis_limit = min(demand.utilisation, REDIS_UTILISATION)

    def per_frame(us_per_frame: float, fixed_cores: float, limit: float) -> Tier:
        return _tier(published_per_s * us_per_frame / 1e6, fixed_cores, limit)

    return Plan(
        demand=demand,
        published_per_s=published_per_s,
        delivered_per_s=delivered_per_s,
        gateway=_tier(gateway_us_per_s / 1e6, costs.gateway_fixed_cores, demand.utilisation),
        ingest=per_frame(costs.ingest_us, costs.ingest_fixed_cores, demand.utilisation),
        control=per_frame(costs.control_us, costs.control_fixed_cores, demand.utilisation),
        redis=per_frame(costs.redis_us, costs.redis_fixed_cores, redis_limit),
        connections_bytes=viewers * costs.connection_bytes,
        retained_bytes=demand.conversations * costs.retention_bytes,
        network_mbit_per_s=viewers * demand.speaking * costs.viewer_bytes_per_s * 8 / 1e6,
    )


def _tier(work_cores: float, fixed_cores: float, limit: float) -> Tier:
    """The fewest processes that keep each below its limit; at least one.

    A process uses one core at most, so n of them have n x limit to use, n x fixed of it for themselves:
    n >= work / (limit - fixed). Cores to provide are those in use divided by the limit, never more than n.
    """
    if limit <= fixed_cores:
        raise OutOfRange(
            "utilisation", f"{limit:g} leaves nothing: a process uses {fixed_cores:g} without load"
        )
    processes = max(1, math.ceil(round(work_cores / (limit - fixed_cores), 9)))
    return Tier(processes, (work_cores + processes * fixed_cores) / limit)


def _positive(name: str, value: float, most: float) -> None:
    if not 0 < value <= most:
        raise OutOfRange(name, f"{value:g} is not above 0 and at most {most:g}")


REPLY_S = 20
"""Length of a reply, as in the benchmark burst."""
REPLY_CHUNKS = ((213, 3 * 1024), (10, 40 * 1024))
"""Audio and motion of a reply: frames, and bytes of each."""
_FRAMES = sum(count for count, _ in REPLY_CHUNKS)
_HEADERS_BYTES = 32 + 4
"""Headers of a frame and of its WebSocket frame."""
_REPLY_BYTES = sum(count * (size_bytes + _HEADERS_BYTES) for count, size_bytes in REPLY_CHUNKS)

_MEASURED: dict[str, tuple[float, str]] = {
    "gateway_us": (29.2, "speech: gateway, us a frame"),
    "gateway_fixed_cores": (0.069, "load: gateway, fixed cores"),
    "gateway_us_per_viewer_s": (4.0, "idle: 2.02 % of a core for 5,000 viewers"),
    "connection_bytes": (26_998, "idle: bytes a connection"),
    "ingest_us": (157.7, "speech: ingest, us a frame, SDK included"),
    "ingest_fixed_cores": (0, "speech: ingest, fixed cores"),
    "control_us": (38.0, "speech: control, us a frame"),
    "control_fixed_cores": (0, "speech: control, fixed cores"),
    "redis_us": (111.9, "speech: Redis, us a frame"),
    "redis_fixed_cores": (0.074, "load: Redis, fixed cores"),
    "retention_bytes": (2 * _REPLY_BYTES, "two replies of 20 s, as in burst, with headers"),
    "frames_per_s": (_FRAMES / REPLY_S, "a reply of 20 s: 213 audio frames and 10 motion frames"),
    "viewer_bytes_per_s": (_REPLY_BYTES / REPLY_S, "a reply of 20 s: 3 KB audio, 40 KB motion, with headers"),
}
"""Each cost, and its source: a row of docs/reports/performance.md."""

MEASURED = Costs(**{name: value for name, (value, _) in _MEASURED.items()})
"""The costs of the machine in docs/reports/performance.md; others differ."""
SOURCES = {name: source for name, (_, source) in _MEASURED.items()}
"""The source of each cost."""

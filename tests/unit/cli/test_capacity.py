"""The capacity model, on costs of the test's own."""

import math
from dataclasses import fields, replace

import pytest

from relay_cli.capacity import MEASURED, SOURCES, Costs, Demand, OutOfRange, plan

COSTS = Costs(
    gateway_us=20, gateway_fixed_cores=0.1, gateway_us_per_viewer_s=10, connection_bytes=1000,
    ingest_us=100, ingest_fixed_cores=0.05, control_us=20, control_fixed_cores=0.02, redis_us=40,
    redis_fixed_cores=0.2, retention_bytes=2000, frames_per_s=10, viewer_bytes_per_s=50_000,
)  # fmt: skip


def test_by_hand() -> None:
    """1,000 conversations with two viewers each, half of them speaking."""
    found = plan(Demand(1000, viewers=2, speaking=0.5, utilisation=0.5), COSTS)

    assert (found.published_per_s, found.delivered_per_s) == (5000, 10_000)
    assert found.gateway.processes == 1  # 0.2 cores for frames, 0.02 for viewers, 0.1 fixed: under 0.5
    assert found.gateway.cores == pytest.approx(0.32 / 0.5)
    assert found.ingest.processes == 2
    assert found.ingest.cores == pytest.approx((0.5 + 2 * 0.05) / 0.5)
    assert found.control.processes == 1
    assert found.control.cores == pytest.approx((0.1 + 0.02) / 0.5)
    assert found.redis.processes == 1
    assert found.redis.cores == pytest.approx(0.4 / 0.5)
    assert found.cores == pytest.approx(found.cores_per_1000) == pytest.approx(0.64 + 1.2 + 0.24 + 0.8)
    assert found.connections_bytes == 2000 * 1000
    assert found.retained_bytes == 1000 * 2000
    assert found.network_mbit_per_s == pytest.approx(1000 * 50_000 * 8 / 1e6)
    assert (found.viewers_per_gateway, found.conversations_per_ingest) == (2000, 500)


def test_it_grows_linearly() -> None:
    """Ten times the conversations, ten times the cores; rounding up is all that is between."""
    small, large = (plan(Demand(count), COSTS) for count in (100_000, 1_000_000))

    assert large.cores_per_1000 == pytest.approx(small.cores_per_1000, rel=0.01)
    for tier in ("gateway", "ingest", "control", "redis"):
        few, many = getattr(small, tier).processes, getattr(large, tier).processes
        assert 10 * (few - 1) <= many <= 10 * few
    assert large.network_mbit_per_s == pytest.approx(10 * small.network_mbit_per_s)


@pytest.mark.parametrize(("conversations", "processes"), [(1, 1), (450, 1), (451, 2), (900, 2), (901, 3)])
def test_processes_are_rounded_up(conversations: int, processes: int) -> None:
    """Each may use half a core, and takes 0.05 by itself: 450 conversations of 10 frames at 100 us."""
    assert plan(Demand(conversations, utilisation=0.5), COSTS).ingest.processes == processes


@pytest.mark.parametrize("conversations", [1, 999, 12_345, 777_777])
@pytest.mark.parametrize("utilisation", [0.3, 0.6, 1.0])
def test_no_process_is_busier_than_asked_for(conversations: int, utilisation: float) -> None:
    """Nor does one less do; and there is at least one of each."""
    found = plan(Demand(conversations, utilisation=utilisation), COSTS)
    for tier, limit, own in (
        (found.gateway, utilisation, COSTS.gateway_fixed_cores),
        (found.ingest, utilisation, COSTS.ingest_fixed_cores),
        (found.control, utilisation, COSTS.control_fixed_cores),
        (found.redis, min(utilisation, 0.6), COSTS.redis_fixed_cores),
    ):
        used = tier.cores * limit
        assert tier.processes >= 1
        assert tier.cores <= tier.processes + 1e-6
        if tier.processes > 1:
            assert used - own > (tier.processes - 1) * limit - 1e-6


def test_a_shard_is_never_busier_than_its_limit() -> None:
    """Whatever the processes may be."""
    eager, calm = (plan(Demand(1_000_000, utilisation=share), COSTS) for share in (1.0, 0.6))

    assert eager.redis == calm.redis
    assert eager.ingest.processes < calm.ingest.processes


def test_viewers_cost_gateways_only() -> None:
    """Frames are published once, however many watch."""
    one, five = (plan(Demand(100_000, viewers=viewers), COSTS) for viewers in (1, 5))

    assert (five.ingest, five.redis, five.retained_bytes) == (one.ingest, one.redis, one.retained_bytes)
    assert five.gateway.cores == pytest.approx(5 * one.gateway.cores, rel=0.01)
    assert five.connections_bytes == 5 * one.connections_bytes
    assert five.network_mbit_per_s == pytest.approx(5 * one.network_mbit_per_s)


def test_silence_costs_viewers_and_memory() -> None:
    """Pings continue, and frames stay for viewers that reconnect."""
    loud, quiet = (plan(Demand(90_000, speaking=share), COSTS) for share in (1.0, 1e-9))

    assert quiet.retained_bytes == loud.retained_bytes
    assert quiet.connections_bytes == loud.connections_bytes
    assert quiet.network_mbit_per_s == pytest.approx(0, abs=0.001)
    assert quiet.ingest.processes == quiet.redis.processes == 1
    assert quiet.gateway.processes == math.ceil(90_000 * 10e-6 / (0.6 - 0.1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("conversations", "viewers") for value in (0, -1, math.nan, 1e10)),
        *((name, value) for name in ("speaking", "utilisation") for value in (0, -0.1, math.nan, 1.1)),
    ],
)
def test_a_demand_that_cannot_be(name: str, value: float) -> None:
    """Is refused by name."""
    with pytest.raises(OutOfRange) as refused:
        Demand(**{"conversations": 1, name: value})
    assert refused.value.name == name


@pytest.mark.parametrize("name", [field.name for field in fields(Costs)])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_costs_that_cannot_be(name: str, value: float) -> None:
    """Are refused by name."""
    with pytest.raises(OutOfRange) as refused:
        replace(COSTS, **{name: value})
    assert refused.value.name == name


@pytest.mark.parametrize("name", ["gateway_us", "ingest_us", "redis_us", "connection_bytes", "frames_per_s"])
def test_nothing_is_free(name: str) -> None:
    """But what a process takes by itself may be nothing."""
    with pytest.raises(OutOfRange, match="not above 0"):
        replace(COSTS, **{name: 0})
    lucky = replace(COSTS, **{field.name: 0 for field in fields(Costs) if "fixed" in field.name})
    assert plan(Demand(1000), lucky).cores < plan(Demand(1000), COSTS).cores


def test_a_utilisation_below_the_fixed_share() -> None:
    """More processes would not help."""
    with pytest.raises(OutOfRange, match="leaves nothing") as refused:
        plan(Demand(1, utilisation=0.1), COSTS)
    assert refused.value.name == "utilisation"


def test_each_measured_cost_has_a_source() -> None:
    """So that it can be checked, and measured again."""
    assert SOURCES.keys() == {field.name for field in fields(MEASURED)}
    assert all(SOURCES.values())

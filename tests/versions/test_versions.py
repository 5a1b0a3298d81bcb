"""Two versions side by side, as in a rolling update and its way back: every frame is compared."""

from functools import partial
from hashlib import sha256
from itertools import product
from pathlib import Path

import pytest
from tests.versions.builds import PRESENT, Build
from tests.versions.client_process import client_of
from tests.versions.roll import rolling

from relay_wire import frame

pytestmark = pytest.mark.timeout(900)

FORWARD = ("gateway", "ingest", "control", "jobs")
"""The order of an update: readers before writers. Its reverse is that of the way back."""
MIXES = [mix for mix in product(("other", "present"), repeat=3) if len(set(mix)) > 1]


async def nothing() -> None:
    """No change."""


def services_of(other: Build) -> list[str]:
    """The services that both versions have, in the order of an update."""
    return [service for service in FORWARD if other.has(f"relay_{service}")]


async def test_an_update_and_its_way_back(other: Build, redis_url: str) -> None:
    """One conversation lives through the swap of every process in mid-turn, there and back."""
    services = services_of(other)
    async with rolling(redis_url, {}, other, jobs="jobs" in services) as roll:
        talk = await roll.converse()
        for order, build in ((services, PRESENT), (services[::-1], other)):
            for service in order:
                await roll.speak_through(talk, partial(roll.replace, service, build))
                await roll.cut(talk)
                await roll.post(talk)


@pytest.mark.parametrize(("gateway", "ingest", "control"), MIXES)
async def test_a_mix(other: Build, redis_url: str, gateway: str, ingest: str, control: str) -> None:
    """Whatever version each service has, turns arrive whole, streamed or posted, and interrupts stop them."""
    builds = {"other": other, "present": PRESENT}
    mix = {"gateway": builds[gateway], "ingest": builds[ingest], "control": builds[control]}
    async with rolling(redis_url, mix, PRESENT) as roll:
        talk = await roll.converse()
        await roll.speak_through(talk, nothing)
        await roll.interrupt(talk)
        await roll.join(talk)
        await roll.cut(talk)
        await roll.post(talk)


async def test_a_client_of_the_other_version(other: Build, redis_url: str, tmp_path: Path) -> None:
    """Its backend speaks and its viewer watches at the present gateways and control, also while these change.

    Each frame is compared with what Redis had; viewers of the present watch the same.
    """
    async with rolling(redis_url, {}, PRESENT) as roll, client_of(other, roll, tmp_path) as client:
        assert Path(client.library).is_relative_to(other.python.parents[1])
        talk = await roll.follow(client.conversation)
        for service in ("gateway", "control"):
            await client.speak_through(talk, partial(roll.replace, service, PRESENT))
        await client.interrupt(talk)
        await client.cut(talk)
        await client.post(talk)
        received = await client.end()
        await roll.tap.read_again()

    published = [frame.decode(data) for _, data in sorted(talk.tape.frames.items())]
    assert received.pop("frames") == [
        (each.turn, each.seq, int(each.kind), sha256(each.payload).hexdigest()) for each in published
    ]
    assert received.pop("resumes") >= 2
    assert set(received.values()) == {0}


@pytest.mark.parametrize("direction", ["to the other", "to the present"])
async def test_an_owner_that_is_killed(other: Build, redis_url: str, direction: str) -> None:
    """In mid-turn: a worker of the other version continues from its checkpoint."""
    first, next_one = (PRESENT, other) if direction == "to the other" else (other, PRESENT)
    async with rolling(redis_url, {"ingest": first}, PRESENT, workers=1) as roll:
        talk = await roll.converse()

        async def kill() -> None:
            owner = await roll.owner_of(talk)
            roll.stack.next_version("ingest", next_one)
            await roll.stack.add_worker()
            await roll.stack.kill(owner)

        await roll.speak_through(talk, kill)
        await roll.post(talk)

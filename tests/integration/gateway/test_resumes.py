"""Resumes: how viewers that come with a position got what they had missed, and viewers by protocol."""

import pytest
from tests.rigs.gateway import GatewayRig, collect

from relay_gateway.fanout.subscriber import RESUMES
from relay_gateway.hub import VIEWERS


async def resume(rig: GatewayRig, position: object) -> None:
    """Come with a position, and receive the last frame."""
    async with await rig.connect(f"{rig.path}?from={position}") as socket:
        await socket.receive()
        if position != rig.writer.last_position:
            await socket.receive()


@pytest.mark.parametrize("result", ["live", "ring", "stream", "gap"])
async def test_a_resume_is_counted_by_its_farthest_source(open_rig, eventually, result: str) -> None:
    """Nothing missed, frames of the ring, older frames of the stream, or frames that are gone."""
    async with open_rig() as rig:
        await rig.turn(1)
        last = rig.writer.last_position
        async with rig.viewer() as present:
            await collect(present, 7)
            await rig.turn(2)
            await collect(present, 7)
            before = RESUMES[result].value
            if result == "gap":
                await rig.store.client.execute("XTRIM", rig.keys.down, "MAXLEN", "5")
            came_with = {
                "live": rig.writer.last_position,
                "ring": last,
                "stream": f"{rig.generation}-1",
                "gap": f"{rig.generation}-1",
            }
            await resume(rig, came_with[result])
            await eventually(lambda: RESUMES[result].value == before + 1)


async def test_a_position_that_is_refused(open_rig) -> None:
    """The viewer gets an answer, and no socket."""
    async with open_rig() as rig:
        before = RESUMES["refused"].value
        assert await rig.refused("1-1") == (400, "bad-position")
        assert RESUMES["refused"].value == before + 1


async def test_who_comes_without_a_position_does_not_resume(open_rig, eventually) -> None:
    """No result counts it."""
    async with open_rig() as rig:
        before = [number.value for number in RESUMES._numbers.values()]
        async with await rig.connect() as socket:
            await socket.receive()
            await socket.receive()
        await eventually(lambda: not len(rig.service.hub))
        assert [number.value for number in RESUMES._numbers.values()] == before


async def test_viewers_by_protocol(open_rig, eventually) -> None:
    """While they are open."""
    async with open_rig(avatarkit_clients=True, avatar_id="avatar", avatarkit_guests=True) as rig:
        before = {name: VIEWERS[name].value for name in ("native", "avatarkit_json")}
        async with await rig.connect() as native, await rig.connect("/ws/agent", headers={}) as client:
            await native.receive()
            await client.receive()
            assert {name: VIEWERS[name].value - before[name] for name in before} == {
                "native": 1,
                "avatarkit_json": 1,
            }
        await eventually(lambda: {name: VIEWERS[name].value for name in before} == before)

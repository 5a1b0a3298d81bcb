"""Viewers' share of the uplink: at their highest rate, the backend's entries are still accepted."""

import asyncio
import itertools

import pytest

from relay_streams.uplink import Uplink, UplinkLimits
from relay_wire import frame, messages, uplink
from relay_wire.frame import Codec, Flags, Frame, Kind

MIB = 2**20


@pytest.mark.parametrize("kind", ["microphone", "interrupts"])
async def test_many_sockets_and_no_worker(open_rig, kind: str) -> None:
    """As loud as they can: Redis holds what the settings allow, and the backend can still speak."""
    limits = {"uplink_bytes": MIB, "uplink_entries": 256}
    freely = {"messages_per_s": 1e6, "message_bytes_per_s": 1e9}
    sound = frame.encode(Frame(Kind.MICROPHONE, Flags.NONE, Codec.PCM_S16LE, 0, 0, 0, 0, 0, bytes(60_000)))
    async with open_rig(**limits, **freely) as rig:
        sockets = [await rig.connect() for _ in range(20)]

        async def shout(socket) -> None:
            for turn in itertools.count():
                if socket.closed or turn == 50:
                    return
                if kind == "microphone":
                    await socket.send_bytes(sound)
                else:
                    await socket.send_str(messages.encode(uplink.Interrupt()))
                    await socket.send_str(messages.encode(uplink.Playback(1, "started", turn)))

        await asyncio.gather(*map(shout, sockets))
        for socket in sockets:
            await socket.close()

        entries = await rig.store.client.execute("XLEN", rig.keys.up)
        assert 0 < entries <= 129
        assert await rig.store.client.execute("MEMORY", "USAGE", rig.keys.up) < 1.2 * MIB / 2 + 100_000
        backend = Uplink(rig.store.client, UplinkLimits(entries=256, bytes=MIB))
        spoken = await backend.append_speech(
            rig.keys, key="k", offset=0, pcm=bytes(400_000), end=True, barge_in=True, entry_bytes=64_000
        )
        assert spoken.offset == 400_000

"""Guests: without a token, where a setting allows it, a client gets a conversation of its own."""

import json
from typing import Any

import pytest
from tests.rigs.eventually import eventually
from tests.rigs.metrics import metric

from relay_gateway.guests import GUESTS, LEFT_OPEN
from relay_streams import conversations
from relay_wire import uplink

OPTIONS: dict[str, Any] = {"avatarkit_clients": True, "avatarkit_guests": True, "avatar_id": "ava"}


async def test_a_visit(open_rig) -> None:
    """The conversation has the settings' values, waits for an owner, and ends when the viewer leaves."""
    async with open_rig(avatarkit_sample_rate=24000, **OPTIONS) as rig:
        async with rig.http.ws_connect(f"{rig.url}/ws/agent") as socket:
            ready = json.loads(await socket.receive_str())
            keys = rig.store.keys.conversation(ready["sessionId"])
            record = await conversations.read(rig.store.client, keys)
            assert (record.avatar_id, record.sample_rate, record.state) == ("ava", 24000, "open")
            assert ready["inputSampleRate"] == 24000
            offers = await rig.store.client.execute("XRANGE", keys.unowned, "-", "+")
            assert any(ready["sessionId"].encode() in fields for _, fields in offers)
        [(_, fields)] = await eventually(lambda: rig.store.entries(keys.up))
        assert uplink.decode(fields) == uplink.Close("viewer_left")
        assert (await conversations.read(rig.store.client, keys)).state == "closing"


@pytest.mark.parametrize(("settings", "expected"), [({}, 16000), ({"avatarkit_microphone_rate": 24000}, 0)])
async def test_microphones_have_their_own_rate(open_rig, settings: dict[str, Any], expected: int) -> None:
    """Clients send 16 kHz in any conversation: the entry has the rate, unless it is the conversation's."""
    async with (
        open_rig(avatarkit_sample_rate=24000, **settings, **OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/agent") as socket,
    ):
        ready = await socket.receive_json()
        await socket.send_json({"type": "mic_audio", "audio": "AQI="})
        await socket.send_json({"type": "mic_end"})
        keys = rig.store.keys.conversation(ready["sessionId"])
        entries = await eventually(lambda: rig.store.entries(keys.up), until=lambda found: len(found) == 2)
        assert [uplink.decode(fields) for _, fields in entries] == [
            uplink.Microphone(b"\1\2", sample_rate=expected),
            uplink.Microphone(b"", end=True, sample_rate=expected),
        ]


async def test_a_host_visit(open_rig) -> None:
    """What the start wishes for, it gets, within what the operator lists."""
    async with (
        open_rig(avatarkit_avatars="third, other", **OPTIONS) as rig,
        rig.http.ws_connect(f"{rig.url}/ws/host") as socket,
    ):
        await socket.send_json({"action": "start", "avatar_id": "other", "sample_rate": 8000})
        about = json.loads((await socket.receive_bytes())[2:])
        record = await conversations.read(
            rig.store.client, rig.store.keys.conversation(about["connection_id"])
        )
        assert (record.avatar_id, record.sample_rate) == ("other", 8000)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"avatar_id": "somebody-elses"}, "not for guests"),
        ({"avatar_id": "AVA"}, "not for guests"),
        ({"avatar_id": "x" * 60_000}, "not a start"),
        ({"avatar_id": "a\x00va"}, "not a start"),
        ({"avatar_id": "ava\u202e"}, "not a start"),
        ({"sample_rate": 12345}, "sample_rate"),
    ],
)
async def test_what_a_visitor_may_not_wish_for(open_rig, wish: dict[str, Any], why: str) -> None:
    """Another avatar than those the operator lists: no conversation is made."""
    async with open_rig(avatarkit_avatars="other", **OPTIONS) as rig:
        visits = metric(GUESTS)
        async with rig.http.ws_connect(f"{rig.url}/ws/host") as socket:
            await socket.send_json({"action": "start", **wish})
            assert why in (await socket.receive_bytes(timeout=5)).decode()
            assert (await socket.receive(timeout=5)).data == 4400
        assert metric(GUESTS) == visits


async def test_the_avatar_of_a_tokens_conversation(open_rig) -> None:
    """Another cannot be had with it."""
    async with open_rig(avatarkit_url_token=True, **OPTIONS) as rig:
        for avatar, kind in (("ava", 3), ("other", 4)):
            async with rig.http.ws_connect(f"{rig.url}/ws/host?token={rig.token()}") as socket:
                await socket.send_json({"action": "start", "avatar_id": avatar})
                assert (await socket.receive_bytes(timeout=5))[0] == kind


@pytest.mark.parametrize("path", ["/ws/agent", "/ws/host"])
async def test_tokens_still_count(open_rig, path: str) -> None:
    """A forged token is refused, not a guest; and without the setting there are no guests."""
    async with open_rig(avatarkit_url_token=True, **OPTIONS) as rig:
        forged = rig.token(key="x" * 40)
        assert await rig.refused(path=f"{path}?token={forged}", headers={}) == (401, "unauthorized")
    async with open_rig(avatarkit_clients=True, avatar_id="ava") as rig:
        assert await rig.refused(path=path, headers={}) == (401, "unauthorized")


async def test_the_store_is_away_at_the_end(proxied, eventually) -> None:
    """It is counted: the conversation must be ended by another process."""
    left_open = metric(LEFT_OPEN)
    async with proxied(**OPTIONS) as (rig, proxy):
        async with rig.http.ws_connect(f"{rig.url}/ws/agent") as socket:
            await socket.receive_str()
            await proxy.set_mode("refuse")
        await eventually(lambda: metric(LEFT_OPEN) == left_open + 1)
        await proxy.set_mode("pass")

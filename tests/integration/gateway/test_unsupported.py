"""Messages that the conversation's agent does not accept: a viewer is informed once, in its own protocol."""

import asyncio
from base64 import b64encode
from typing import Any

import aiohttp
from tests.rigs.avatar_client import AvatarClient
from tests.rigs.avatarkit import OPTIONS, agent, receive
from tests.rigs.gateway import GatewayRig
from tests.rigs.metrics import metric

from relay_gateway import unsupported
from relay_gateway.unsupported import UNSUPPORTED
from relay_wire import events

MIC = {"type": "mic_audio", "audio": b64encode(bytes(3200)).decode()}


async def declare(rig: GatewayRig, accepts: str) -> None:
    """What an owner writes when it claims the conversation."""
    await rig.store.client.execute("HSET", rig.keys.meta, "accepts", accepts)


async def statuses(socket: aiohttp.ClientWebSocketResponse, client: AvatarClient) -> list[str]:
    """The texts of the messages that the app logs, up to the answer to a ping."""
    pongs = len(client.messages_of("pong"))
    await socket.send_json({"type": "ping"})
    await receive(socket, client, lambda: len(client.messages_of("pong")) > pongs)
    return [message["message"] for message in client.messages_of("status")]


async def test_an_open_microphone_without_a_listener(open_rig) -> None:
    """A newest client on a push conversation: one status, not one for each piece; a text has its own."""
    async with open_rig(**OPTIONS) as rig, agent(rig) as socket:
        await declare(rig, "-")
        client, informed = AvatarClient(), metric(UNSUPPORTED, kind="microphone")
        await socket.send_json({"type": "start_agent"})
        for _ in range(50):
            await socket.send_json(MIC)
        assert await statuses(socket, client) == [
            "this conversation's agent does not answer messages of the kind microphone"
        ]
        for message in (
            {"type": "mic_end"},
            {"type": "text", "text": "hi"},
            {"type": "text_query", "text": "hi"},
        ):
            await socket.send_json(message)
        await socket.send_json({"type": "play_sample", "clip": "hello"})
        assert (await statuses(socket, client))[1:] == [
            "this conversation's agent does not answer messages of the kind text",
            "this conversation's agent does not answer messages of the kind clip_request",
        ]
        assert metric(UNSUPPORTED, kind="microphone") == informed + 1
        assert len(await rig.uplink()) == 54, "what the owner receives has not changed"


async def test_what_is_accepted_has_no_status(open_rig) -> None:
    """Nor has an interrupt, which needs no agent; another socket is informed for itself."""
    async with open_rig(**OPTIONS) as rig:
        await declare(rig, "mic text")
        for _ in range(2):
            async with agent(rig) as socket:
                client = AvatarClient()
                for message in (MIC, {"type": "text", "text": "hi"}, {"type": "interrupt"}):
                    await socket.send_json(message)
                assert await statuses(socket, client) == []
                await socket.send_json({"type": "play_sample", "clip": "hello"})
                assert len(await statuses(socket, client)) == 1


async def test_a_native_viewer(open_rig) -> None:
    """It gets an event, with the kind of the message, once."""
    async with open_rig() as rig, rig.viewer("live") as viewer:
        await declare(rig, "sample")
        for _ in range(3):
            await viewer.send_text("hi")
            await viewer.send_microphone(b"\x01\x02")
        await viewer.ping("last")
        stream, received = viewer.frames(), list[Any]()
        while events.Pong("last") not in received:
            received.append(events.decode((await anext(stream)).payload))
        assert [event for event in received if isinstance(event, events.UnsupportedMessage)] == [
            events.UnsupportedMessage("text"), events.UnsupportedMessage("microphone")
        ]  # fmt: skip


async def test_a_message_before_the_first_owner(open_rig, monkeypatch) -> None:
    """A guest speaks at once, before a worker has claimed its conversation: it is informed afterwards."""
    monkeypatch.setattr(unsupported, "_LOOKUPS_S", (0.01,) * 1000)
    async with open_rig(**OPTIONS) as rig, agent(rig) as socket:
        client = AvatarClient()
        for message in ({"type": "text", "text": "hi"}, MIC, MIC):
            await socket.send_json(message)
        assert await statuses(socket, client) == []
        await declare(rig, "mic")
        await receive(socket, client, lambda: client.messages_of("status"))
        await socket.send_json({"type": "text", "text": "hi"})
        assert await statuses(socket, client) == [
            "this conversation's agent does not answer messages of the kind text"
        ]


async def test_a_conversation_that_no_worker_claims(open_rig, monkeypatch, eventually) -> None:
    """The look-up ends; the next message begins another, and a viewer that leaves ends it."""
    monkeypatch.setattr(unsupported, "_LOOKUPS_S", (0.01,))
    async with open_rig(**OPTIONS) as rig:
        async with agent(rig) as socket:
            client = AvatarClient()
            await socket.send_json(MIC)
            await eventually(rig.uplink)
            await declare(rig, "text")
            await socket.send_json(MIC)
            assert len(await statuses(socket, client)) == 1
        await declare(rig, "")
        monkeypatch.setattr(unsupported, "_LOOKUPS_S", (60.0,))
        async with agent(rig) as socket:
            await socket.send_json(MIC)
            await statuses(socket, AvatarClient())
            assert look_ups()
        await eventually(lambda: not look_ups())


def look_ups() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "unsupported messages"]

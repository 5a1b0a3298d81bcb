"""Closes: how a viewer's socket ended is counted as what it was."""

import asyncio
import struct

import aiohttp
import pytest
from prometheus_client import generate_latest
from tests.rigs.metrics import metric
from tests.rigs.raw_websocket import CLOSE, browser, client_frame

from relay_gateway.accept import CLOSES
from relay_wire import events
from relay_wire.close_codes import REGISTRY


def close(code: int | None) -> bytes:
    return client_frame(CLOSE, b"" if code is None else struct.pack("!H", code))


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (None, "no_status"),
        (1000, "normal"),
        (1001, "going_away"),
        (3000, "other"),
        (4000, "other"),
        (4999, "other"),
    ],
)
async def test_a_close_is_answered_with_its_code_and_counted_as_what_it_was(
    open_rig, eventually, code: int | None, name: str
) -> None:
    """Also one without a code, as browsers' ``close()`` sends it. The connection ends after the answer."""
    async with open_rig() as rig:
        before, abnormal = metric(CLOSES, code=name), metric(CLOSES, code="abnormal")
        async with browser(rig) as viewer:
            viewer.writer.write(close(code))
            *_, answer = [message async for message in viewer.messages()]
        assert answer == (CLOSE, b"" if code is None else struct.pack("!H", code))
        await eventually(lambda: metric(CLOSES, code=name) == before + 1)
        assert metric(CLOSES, code="abnormal") == abnormal


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535])
async def test_a_code_that_no_endpoint_may_send_is_a_protocol_error(open_rig, eventually, code: int) -> None:
    """Those outside the ranges, and those that name what is no close message (RFC 6455 7.4)."""
    async with open_rig() as rig:
        before = metric(CLOSES, code="protocol_error")
        async with browser(rig) as viewer:
            viewer.writer.write(close(code))
            assert await viewer.close_code() == 1002
        await eventually(lambda: metric(CLOSES, code="protocol_error") == before + 1)


async def test_an_error_in_a_frame_after_a_close_has_no_second_close(open_rig) -> None:
    """The close of a gateway that leaves is its last message, whatever the viewer sends then."""
    async with open_rig() as rig, browser(rig) as viewer:
        ending = asyncio.create_task(rig.service.close())
        assert await viewer.close_code() == 1012
        viewer.writer.write(client_frame(0x83))
        assert [message async for message in viewer.messages()] == []
        await ending


@pytest.mark.parametrize("code", [None, 1000])
async def test_who_closes_and_does_not_wait_is_tidy(open_rig, eventually, code: int | None) -> None:
    """The connection is gone when the close is read: the gateway is at Redis while a page is left."""
    name = "no_status" if code is None else "normal"
    async with open_rig() as rig:
        before, abnormal = metric(CLOSES, code=name), metric(CLOSES, code="abnormal")
        for _ in range(20):
            async with browser(rig) as viewer:
                viewer.writer.write(client_frame(0x81, b'{"type":"interrupt"}') + close(code))
        await eventually(lambda: metric(CLOSES, code=name) == before + 20)
        assert metric(CLOSES, code="abnormal") == abnormal


async def test_messages_before_a_close_are_processed(open_rig, eventually) -> None:
    """It goes up although the viewer is gone by then."""
    async with open_rig() as rig:
        async with browser(rig) as viewer:
            viewer.writer.write(client_frame(0x81, b'{"type":"text","text":"hi"}') * 3 + close(1000))
        async with browser(rig):
            entries = await eventually(rig.uplink, until=lambda found: len(found) >= 3)
        assert [type(entry).__name__ for entry in entries] == ["Text"] * 3


@pytest.mark.parametrize(("code", "name"), [(None, "no_status"), (1000, "normal"), (1001, "going_away")])
async def test_who_leaves_with_frames_unread_is_tidy(
    open_rig, eventually, code: int | None, name: str
) -> None:
    """Its kernel answers with a reset, since nobody reads them; so does that of a browser's tab."""
    async with open_rig() as rig:
        before, abnormal = metric(CLOSES, code=name), metric(CLOSES, code="abnormal")
        for turn in range(1, 11):
            async with browser(rig) as viewer:
                await rig.turn(turn, frames=20, size=2000)
                viewer.writer.write(close(code))
                await viewer.writer.drain()
                viewer.writer.transport.abort()
        await eventually(lambda: metric(CLOSES, code=name) == before + 10)
        assert metric(CLOSES, code="abnormal") == abnormal


@pytest.mark.parametrize("answers", [True, False])
async def test_the_end_of_a_conversation_is_tidy(open_rig, eventually, *, answers: bool) -> None:
    """Whether the viewer answers the close, or is gone at once."""
    async with open_rig() as rig:
        name = "conversation_ended"
        before, abnormal = metric(CLOSES, code=name), metric(CLOSES, code="abnormal")
        async with browser(rig) as viewer:
            rig.publish(events.ConversationEnded("over"))
            assert await viewer.close_code() == 4410
            if answers:
                viewer.writer.write(close(4410))
        await eventually(lambda: metric(CLOSES, code=name) == before + 1)
        assert metric(CLOSES, code="abnormal") == abnormal


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("how", ["drain", "close"])
async def test_the_end_of_a_gateway_is_tidy(open_rig, eventually, how: str, *, answers: bool) -> None:
    """Its drain, and the end of its process; whether the viewer answers, or its connection is cut."""
    async with open_rig() as rig:
        before, abnormal = metric(CLOSES, code="restart"), metric(CLOSES, code="abnormal")
        async with browser(rig) as viewer:
            ending = asyncio.create_task(getattr(rig.service, how)())
            assert await viewer.close_code() == 1012
            if answers:
                viewer.writer.write(close(1012))
            else:
                viewer.writer.transport.abort()
            await ending
        await eventually(lambda: metric(CLOSES, code="restart") == before + 1)
        assert metric(CLOSES, code="abnormal") == abnormal


async def test_a_client_that_has_not_started_when_the_gateway_ends(open_rig, eventually) -> None:
    """It is no viewer yet, and is closed as they are."""
    async with open_rig(avatarkit_clients=True, avatar_id="avatar") as rig:
        before, abnormal = metric(CLOSES, code="restart"), metric(CLOSES, code="abnormal")
        socket = await rig.connect("/ws/host")
        await rig.service.close()
        async with asyncio.timeout(5):
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1012
        await eventually(lambda: metric(CLOSES, code="restart") == before + 1)
        assert metric(CLOSES, code="abnormal") == abnormal


async def test_a_broken_connection_is_abnormal(open_rig, eventually) -> None:
    """Without a close there was none."""
    async with open_rig() as rig:
        before = metric(CLOSES, code="abnormal")
        async with browser(rig):
            pass
        await eventually(lambda: metric(CLOSES, code="abnormal") == before + 1)


def test_every_close_has_a_series_from_the_start() -> None:
    """A rate over a series that begins with its first event does not see that event."""
    text = generate_latest().decode()
    for name in (*(code.name for code in REGISTRY.values()), "other"):
        assert f'relay_gateway_closes_total{{code="{name}"}}' in text

"""Lifetime: how sessions of the simulator take time and end, as the vendor's SDK sees it."""

import asyncio
import time

import pytest
from aiohttp import WSMsgType
from spatius import AgoraEgressConfig, AvatarSDKError, AvatarSDKErrorCode
from structlog.testing import capture_logs
from tests.rigs.eventually import eventually
from tests.rigs.simulator import Simulated, simulated

SECOND = bytes(32_000)


async def test_the_longest_session(eventually) -> None:
    """In the midst of speech too: ServerError 4002, then the close with that code."""
    async with simulated(simulator_session_s=8) as s, s.client() as client:
        await client.session.send_audio(SECOND)
        await client.closed.wait()
        await eventually(lambda: len(client.errors) == 2)
        assert await s.sessions() == []

    error, closed = client.errors
    assert (error.code, error.server_code) == (AvatarSDKErrorCode.sessionDurationExceeded, "4002")
    assert closed.close_code == 4002


async def test_no_audio_input(eventually) -> None:
    """The session is ended with the text that the SDK knows; audio puts it off."""
    async with simulated(simulator_idle_s=40) as s, s.client() as client:
        for _ in range(4):
            await client.session.send_audio(SECOND, end=True)
            await client.until_end()
        await client.closed.wait()
        assert await s.sessions() == []

    [error] = client.errors
    assert error.code is AvatarSDKErrorCode.idleTimeout
    assert "no audio input for 40s" in str(error)
    assert len([payload for payload in client.payloads if payload.end]) == 4


async def test_the_tokens_expiry(eventually) -> None:
    """The open session is closed with 4010, whatever the speed; unless that is turned off."""
    async with simulated() as s, s.client(expires_in_s=2) as client:
        await client.closed.wait()
        await eventually(lambda: client.errors)

    assert [error.close_code for error in client.errors] == [4010]

    async with simulated(simulator_token_expiry=False) as s, s.client(expires_in_s=2) as client:
        token = client.session._session_token
        async with s.client(start=False) as other:
            other.session._session_token = token
            with pytest.raises(Exception, match="expired"):
                while True:
                    await other.session.start()
                    await other.session.close()
        await client.session.send_audio(SECOND, end=True)
        await client.until_end()
    assert client.errors == []


async def test_nothing_ends_a_session_without_limits(eventually) -> None:
    """Zero is no limit."""
    limits = {"simulator_session_s": 0, "simulator_idle_s": 0, "simulator_speed": 10_000}
    async with (
        simulated(**limits) as s,
        s.client() as client,
        simulated(**{**limits, "simulator_idle_s": 300}) as t,
    ):
        async with t.client() as measure:
            await measure.closed.wait()
        await client.session.send_audio(SECOND, end=True)
        await client.until_end()

    assert client.errors == []


async def test_an_idle_timeout_on_demand(eventually) -> None:
    """As a fault: at a payload, in the vendor's words."""
    async with simulated() as s:
        await s.admin("POST", "faults", at="session", fault="idle_timeout", after_payloads=1)
        async with s.client() as client:
            await client.session.send_audio(SECOND, end=True)
            await client.closed.wait()

    assert [error.code for error in client.errors] == [AvatarSDKErrorCode.idleTimeout]
    assert len(client.payloads) == 1


async def test_connecting_takes_its_time() -> None:
    """The time set, divided by the speed."""
    async with simulated(simulator_connect_s=10) as s, s.client(start=False) as client:
        begun = time.monotonic()
        await client.session.start()
        assert time.monotonic() - begun >= 10 / 40


async def test_a_connection_that_says_nothing() -> None:
    """It is closed, and its seat is free again."""
    async with simulated(simulator_handshake_s=0.2, simulator_seats=1) as s, s.client(start=False) as client:
        headers = {"X-App-ID": "app", "X-Session-Key": client.session._session_token}
        url = f"{s.endpoints['ingress_endpoint_url']}/websocket?id=ava"
        async with s.http.ws_connect(url, headers=headers) as socket:
            async with s.http.get(url.replace("ws", "http", 1), headers=headers) as second:
                assert second.status == 402
            assert (await socket.receive()).type is WSMsgType.CLOSE
        await client.session.start()
        assert len(await s.sessions()) == 1


async def test_a_client_that_leaves_before_the_confirmation() -> None:
    """Its seat is free again, and it is no defect of ours."""
    with capture_logs() as logs:
        async with simulated(simulator_connect_s=10, simulator_seats=1) as s, s.client(start=False) as client:
            starting = asyncio.create_task(client.session.start())
            await eventually(lambda: s.admin("GET", "connections"), until=lambda found: found["connected"])
            client.session._connection.transport.abort()
            with pytest.raises(AvatarSDKError):
                await starting
            await eventually(
                lambda: s.admin("GET", "connections"), until=lambda found: not found["connected"]
            )

    assert [line for line in logs if line["log_level"] in ("warning", "error")] == []


async def test_a_message_that_is_too_large(eventually) -> None:
    """It ends its session with 1009, no other."""
    async with simulated(simulator_message_bytes=100_000) as s, s.client() as client, s.client() as other:
        await client.session.send_audio(bytes(200_000))
        await client.closed.wait()
        await eventually(lambda: client.errors)
        await other.session.send_audio(SECOND, end=True)
        await other.until_end()

    assert [error.close_code for error in client.errors] == [1009]


async def test_more_speech_than_may_wait() -> None:
    """Half an hour at once: the socket is read no faster than motion is made, and all of it arrives."""
    async with (
        simulated(simulator_speed=4000, simulator_session_s=0, simulator_idle_s=0) as s,
        s.client(sample_rate=8000) as client,
    ):
        for _ in range(30):
            await client.session.send_audio(bytes(960_000))
        await client.session.send_audio(b"", end=True)
        await client.until_end()
        [request] = await s.requests()

    assert request["audio_ms"] == 1_800_000
    assert request["payloads"] == len(client.payloads) == 1 + 900


@pytest.mark.parametrize("egress", [None, AgoraEgressConfig("room", "token", 7, "avatar")])
async def test_clients_that_vanish(egress, eventually) -> None:
    """In the midst of speech, without a close: their seats are free again, and it is no defect of ours."""
    async with simulated(simulator_speed=4) as s:
        with capture_logs() as logs:
            async with asyncio.TaskGroup() as clients:
                for _ in range(8):
                    clients.create_task(_vanish(s, egress))
            await eventually(s.sessions, 10, until=lambda found: not found)

    assert [line for line in logs if line["log_level"] in ("warning", "error")] == []


async def _vanish(s: Simulated, egress: AgoraEgressConfig | None) -> None:
    async with s.client(agora_egress=egress) as client:
        await client.session.send_audio(bytes(32_000 * 20))
        if egress is None:
            await eventually(lambda: client.payloads)
        client.session._connection.transport.abort()

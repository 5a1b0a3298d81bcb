"""Secrets: what is sent to control wrongly is in no answer, and nothing that is sent is in a log."""

import asyncio
from typing import Any

import pytest

from relay_runtime.connection import UNREADABLE
from relay_telemetry import logs

PLANTED = "planted-secret-4711"


@pytest.fixture
def logged(as_a_service, capsys):
    """Everything logged so far, as a service would."""
    as_a_service("json")

    async def read() -> str:
        await asyncio.to_thread(logs.flush)
        return str(capsys.readouterr().err)

    return read


async def raw(rig: Any, request: bytes) -> bytes:
    """What control answers to these very bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rsplit(":", 1)[1]))
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_requests_that_are_no_http(open_rig, logged) -> None:
    """Refused and counted; the server's own log of them would have quoted the key."""
    async with open_rig() as rig:
        key = rig.key.encode()
        before = UNREADABLE._value.get()
        for broken in (
            b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + b"\x01\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX-API-Key " + key + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX-API-Key: " + key + b"x" * 9000 + b"\r\n\r\n",
        ):
            assert b" 400 " in (await raw(rig, broken)).splitlines()[0]

        assert UNREADABLE._value.get() == before + 3
        assert rig.key not in await logged()


async def test_refusals_repeat_nothing(open_rig, logged) -> None:
    """Wrong keys, paths and bodies: neither logged nor sent back."""
    async with open_rig() as rig:
        answers = [
            await rig.call("GET", "/v1/conversations/x", headers={"Authorization": f"Bearer {PLANTED}"}),
            await rig.call("GET", f"/v1/conversations/{PLANTED}"),
            await rig.call("GET", f"/nowhere/{PLANTED}?key={PLANTED}"),
            await rig.call("POST", "/v1/conversations", data=f'{{"sample_rate":"{PLANTED}"}}'),
            await rig.call("POST", "/v1/conversations", data=f'{{"{PLANTED}'),
        ]

        for status, answer, headers in answers:
            assert status >= 400
            assert PLANTED not in f"{answer}{headers}"
        assert PLANTED not in await logged()

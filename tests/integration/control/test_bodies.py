"""Request bodies: who may send one, how large, how slowly, and how much of them the process holds."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from tests.rigs.eventually import eventually

from relay_control.bodies import BODY_BYTES, REFUSED

pytestmark = pytest.mark.lingers


@asynccontextmanager
async def request(rig, path: str, *fields: str, key: bool = True):
    """A request whose body is sent by hand."""
    address = urlsplit(rig.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = [f"POST {path} HTTP/1.1", "Host: x", *fields]
    if key:
        head.append(f"Authorization: {rig.auth['Authorization']}")
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader) -> tuple[int, dict[str, str], Any]:
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        body = await reader.readexactly(int(fields.get("content-length", 0)))
    return int(head[0].split()[1]), fields, msgspec.json.decode(body) if body else {}


def turns(conversation: str) -> str:
    return f"/v1/conversations/{conversation}/turns"


async def until_held(size: int) -> None:
    await eventually(lambda: BODY_BYTES._value.get() == size, 5)


@pytest.mark.parametrize("path", ["turns", "conversations", "tokens"])
async def test_a_trickle_ends(open_rig, path: str) -> None:
    """A byte now and then keeps nothing open: 408 when the time for the whole body is over; counted."""
    async with open_rig(body_timeout_s=0.5) as rig:
        conversation, before = await rig.create(), REFUSED.labels("slow")._value.get()
        target = {"turns": turns(conversation), "conversations": "/v1/conversations"}.get(
            path, f"/v1/conversations/{conversation}/tokens"
        )
        async with request(rig, target, "Content-Type: audio/pcm", "Content-Length: 60000") as (
            reader,
            writer,
        ):

            async def trickle() -> None:
                while True:
                    writer.write(b" ")
                    await asyncio.sleep(0.05)

            task = asyncio.ensure_future(trickle())
            status, _, problem = await answer(reader)
            task.cancel()

        assert (status, problem["type"]) == (408, "urn:avatar-relay:problem:request-timeout")
        assert REFUSED.labels("slow")._value.get() == before + 1
        await until_held(0)
        assert (await rig.speak(conversation, b"ab"))[0] == 202


async def test_bodies_of_all_senders_have_one_limit(open_rig) -> None:
    """Halves of bodies whose rest never comes: the one that finds no room is refused, the others stay."""
    async with open_rig(max_bodies_bytes=1_000_000) as rig:
        conversation = await rig.create()
        fields = ("Content-Type: audio/pcm", "Content-Length: 600000")
        async with request(rig, turns(conversation), *fields) as (first, first_writer):
            first_writer.write(bytes(599_000))
            await until_held(599_000)
            async with request(rig, turns(conversation), *fields) as (second, second_writer):
                second_writer.write(bytes(599_000))
                status, headers, problem = await answer(second)
            assert (status, problem["type"]) == (503, "urn:avatar-relay:problem:overloaded")
            assert headers["retry-after"] == "1"
            await until_held(599_000)
            first_writer.write(bytes(1000))
            assert (await answer(first))[0] == 202
        await until_held(0)


async def test_a_sender_that_leaves_frees_its_memory(open_rig) -> None:
    """Sixty times in the middle of a body."""
    async with open_rig() as rig:
        conversation = await rig.create()
        for _ in range(60):
            async with request(
                rig, turns(conversation), "Content-Type: audio/pcm", "Content-Length: 80000"
            ) as (_, writer):
                writer.write(bytes(70_000))
                await writer.drain()
        await until_held(0)
        assert (await rig.speak(conversation, b"ab"))[0] == 202


@pytest.mark.parametrize(
    ("fields", "key", "path", "status"),
    [
        (("Content-Type: audio/pcm",), False, None, 401),
        (("Content-Type: audio/mpeg",), True, None, 415),
        (("Content-Type: audio/pcm;rate=24000",), True, None, 422),
        (("Content-Type: audio/pcm", "Idempotency-Key: \t"), True, None, 422),
        (("Content-Type: audio/pcm",), True, "/v1/conversations/nobody/turns", 404),
        (("Content-Type: audio/pcm",), True, "?barge_in=maybe", 422),
    ],
)
async def test_who_expects_to_go_on_is_told_no(open_rig, fields, key, path, status) -> None:
    """Refused by the header alone: the body is never asked for, nor waited for."""
    async with open_rig() as rig:
        target = turns(await rig.create())
        target = path if path and path.startswith("/") else target + (path or "")
        expect = ("Expect: 100-continue", "Content-Length: 30000000")
        async with request(rig, target, *fields, *expect, key=key) as (reader, _):
            assert (await answer(reader))[0] == status


async def test_who_expects_to_go_on_and_may(open_rig) -> None:
    """100, then the answer."""
    async with open_rig() as rig:
        fields = ("Content-Type: audio/pcm", "Content-Length: 4", "Expect: 100-continue")
        async with request(rig, turns(await rig.create()), *fields) as (reader, writer):
            assert (await answer(reader))[0] == 100
            writer.write(b"abcd")
            assert (await answer(reader))[0] == 202


async def test_our_own_limit_can_be_told_from_a_proxys(open_rig) -> None:
    """413 as a problem, with the limit; also where the size is not announced."""
    async with open_rig(max_turn_bytes=2048) as rig:
        conversation = await rig.create()
        for fields, body in (
            (("Content-Length: 5000",), b""),
            (("Transfer-Encoding: chunked",), b"1000\r\n" + bytes(4096) + b"\r\n"),
        ):
            async with request(rig, turns(conversation), "Content-Type: audio/pcm", *fields) as (
                reader,
                writer,
            ):
                writer.write(body)
                status, headers, problem = await answer(reader)
            assert (status, problem["limit_bytes"]) == (413, 2048)
            assert headers["avatar-relay-problem"] == "too-large"
            assert headers["content-type"].startswith("application/problem+json")


async def test_json_is_small(open_rig) -> None:
    """JSON bodies have a limit of 64 KiB, whatever the limit of a turn."""
    async with open_rig() as rig:
        status, problem, _ = await rig.call("POST", "/v1/conversations", data=b" " * 70_000)

    assert (status, problem["type"]) == (413, "urn:avatar-relay:problem:too-large")

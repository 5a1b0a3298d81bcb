"""Unwanted bodies: they cost what their bytes cost, and nothing of them stays in memory."""

import asyncio
import zlib

import aiohttp
import pytest
from tests.security.processes import API_KEY, Service

GIB = 2**30


def bomb() -> bytes:
    """A megabyte of gzip that would be a gigabyte: one megabyte of zeros, again and again."""
    packer = zlib.compressobj(9, wbits=31)
    head = packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (GIB // 2**20)


def post(path: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {length or len(body)}", *headers]
    return "\r\n".join((*lines, "", "")).encode() + body


async def status(child: Service, request: bytes) -> int:
    answer = await child.exchange(request)
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("kind", ["gateway", "control"])
async def test_what_nobody_reads_is_not_inflated(service, kind: str) -> None:
    """At any path, without credentials: refused for the price of the same bytes without an encoding."""
    packed = bomb()
    async with service(kind) as child:

        async def cost_s(*headers: str) -> float:
            before = await child.cpu_s()
            for path in ("/", "/v1/conversations", "/v1/conversations/x/turns", "/v1/conversations/x/stream"):
                assert 400 <= await status(child, post(path, packed, *headers)) < 500
            return await child.cpu_s() - before

        plain = await cost_s()
        for encoding in ("gzip", "deflate"):
            assert await cost_s(f"Content-Encoding: {encoding}") < 2 * plain + 0.3


async def test_encoded_bodies_are_refused(service) -> None:
    """With 415, after the key, whatever the encoding: nothing inflates."""
    async with service("control") as child, aiohttp.ClientSession() as http:
        for encoding in ("gzip", "deflate", "br", "zstd", "made-up"):
            request = post("/v1/conversations", b"{}", f"Content-Encoding: {encoding}")
            assert await status(child, request) == 401
            keyed = post(
                "/v1/conversations",
                b"{}",
                f"Content-Encoding: {encoding}",
                f"Authorization: Bearer {API_KEY}",
            )
            assert await status(child, keyed) == 415
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Encoding": "identity"}
        async with http.post(f"{child.url}/v1/conversations", data=b"{}", headers=headers) as response:
            assert response.status == 201


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_what_breaks_off_stays_nowhere(service, how: str) -> None:
    """Thirty uploads of 8 MB whose senders leave: the process is not larger than after three."""
    async with service("control") as child, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with http.post(f"{child.url}/v1/conversations", headers=headers) as response:
            conversation = (await response.json())["id"]
        request = post(
            f"/v1/conversations/{conversation}/turns",
            bytes(7_999_990),
            f"Authorization: Bearer {API_KEY}",
            "Content-Type: audio/pcm",
            length=8_000_000,
        )

        async def break_off() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", child.port)
            writer.write(request)
            await writer.drain()
            if how == "reset":
                writer.transport.abort()
            writer.close()

        async def broken(times: int) -> None:
            counted = await child.metric("relay_http_problems_total", problem="bad-request")
            for _ in range(times):
                await break_off()
            async with asyncio.timeout(20):
                while (
                    await child.metric("relay_http_problems_total", problem="bad-request") < counted + times
                ):
                    await asyncio.sleep(0.02)

        await broken(3)
        before = await child.rss_bytes()
        await broken(27)
        assert await child.rss_bytes() < before + 80 * 2**20
        assert await child.metric("relay_http_problems_total", problem="internal") == 0
        assert "failed" not in await child.log()

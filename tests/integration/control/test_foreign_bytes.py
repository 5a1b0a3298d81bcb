"""Any bytes at every place of a request: no other request reads them, and the service continues."""

import asyncio
import base64
import random
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from relay_redis.metrics import RECONNECTS, VIOLATIONS

READERS = 6
ATTEMPTS = 150
PIECES = (
    b"",
    b"a",
    b"\xff",
    b"\xed\xb3\xbf",
    b"\xc3\xa9",
    b"\x80",
    b"\x00",
    b"%ff",
    b"%ED%A0%80",
    b'"\\udcff"',
    b"\xf0\x9f",
)


class Foreign:
    """Requests with any bytes in them, the same for the same seed."""

    def __init__(self, seed: int, host: str, key: str, conversation: str) -> None:
        self.random = random.Random(seed)
        self._host = host
        self._key = key
        self._path = f"/v1/conversations/{conversation}"

    def _any(self) -> bytes:
        some = [*self.random.choices(PIECES, k=self.random.randrange(1, 4)), self.random.randbytes(2)]
        return b"".join(some).translate(None, b"\r\n")

    def _request(self, line: bytes, headers: dict[str, bytes], body: bytes = b"") -> bytes:
        head = [line + b" HTTP/1.1", f"Host: {self._host}".encode()]
        head += [f"Authorization: Bearer {self._key}".encode(), f"Content-Length: {len(body)}".encode()]
        head += [name.encode() + b": " + value for name, value in headers.items()]
        return b"\r\n".join(head) + b"\r\n\r\n" + body

    def create(self) -> bytes:
        name = self.random.choice(["avatar_id", "agent", "talk_over", "codec"]).encode()
        value = self.random.choice([b'"%s"' % self._any(), b'"\\udcff"', b'"\\ud800x"', b"\xff"])
        body = b'{"%s":%s}' % (name, value)
        return self._request(b"POST /v1/conversations", {"Content-Type": b"application/json"}, body)

    def speak(self) -> bytes:
        headers = {
            "Content-Type": self.random.choice([b"audio/pcm", b"audio/pcm;rate=" + self._any()]),
            "Idempotency-Key": self._any(),
            "traceparent": self._any(),
            "tracestate": self._any(),
        }
        return self._request(f"POST {self._path}/turns".encode() + b"?barge_in=1", headers, bytes(64))

    def look(self) -> bytes:
        return self._request(b"GET /v1/conversations/" + self._any().replace(b" ", b"+"), {})

    def interrupt(self) -> bytes:
        return self._request(
            f"POST {self._path}/interrupt".encode(),
            {"Content-Type": b"application/json"},
            b'{"reason":"%s"}' % self._any(),
        )

    def socket(self) -> bytes:
        """An upgrade, and messages behind it: a start with any text, and audio."""
        headers = {
            "Upgrade": b"websocket",
            "Connection": b"Upgrade",
            "Sec-WebSocket-Version": b"13",
            "Sec-WebSocket-Key": base64.b64encode(bytes(16)),
            "traceparent": self._any(),
        }
        upgrade = self._request(f"GET {self._path}/audio".encode(), headers)
        start = b'{"type":"start","barge_in":true,"key":"\\udcff%s","traceparent":"\\ud800"}' % self._any()
        return upgrade + _message(1, start) + _message(2, bytes(64))


def _message(opcode: int, payload: bytes) -> bytes:
    """One short WebSocket message of a client, with a mask that changes nothing."""
    assert len(payload) < 126
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


def ends() -> list[float]:
    """Connections to Redis that have ended so far, and for which reasons."""
    metrics = (
        RECONNECTS.labels("test"),
        *(VIOLATIONS.labels("test", kind) for kind in ("protocol", "defect")),
    )
    return [metric._value.get() for metric in metrics]


@pytest.mark.parametrize("seed", range(2))
async def test_nobody_reads_what_is_not_theirs(open_rig, seed: int) -> None:
    """Other backends ask for their conversations meanwhile, and get those and no others, always."""
    async with open_rig() as rig:
        address = urlsplit(rig.url)
        target = await rig.create(avatar_id="target")
        foreign = Foreign(seed, address.netloc, rig.key, target)
        kinds: list[Callable[[], bytes]] = [
            foreign.create, foreign.speak, foreign.look, foreign.interrupt, foreign.socket,
        ]  # fmt: skip
        done = asyncio.Event()
        before = ends()

        async def read(number: int) -> int:
            mine, reads = await rig.create(avatar_id=f"mine-{number}"), 0
            while not done.is_set():
                status, body, _ = await rig.call("GET", f"/v1/conversations/{mine}")
                assert status == 200
                assert (body["id"], body["avatar_id"]) == (mine, f"mine-{number}")
                reads += 1
            return reads

        async def attack() -> int:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(foreign.random.choice(kinds)())
            answer = b""
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(5):
                    answer = await reader.readuntil(b"\r\n")
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            return int(answer.split(b" ")[1])

        readers = [asyncio.create_task(read(number)) for number in range(READERS)]
        statuses = [
            status
            for _ in range(ATTEMPTS // 5)
            for status in await asyncio.gather(*(attack() for _ in range(5)))
        ]
        done.set()

        assert min(await asyncio.gather(*readers)) > 10
        assert {status for status in statuses if status >= 500} == set()
        assert {101, 202, 400} <= set(statuses), "some requests are accepted, some are not"
        assert ends() == before

"""Malformed requests: the sender gets an answer, they are counted, and none is logged as a defect."""

import json
import random

import pytest
from tests.rigs.gateway import KEY
from tests.security.processes import API_KEY, Service

from relay_auth.token_keys import secret_key
from relay_auth.viewer_tokens import Role, mint

TOKEN, _ = mint(secret_key(KEY.encode()), conversation="c", role=Role.SPEAK, ttl_s=3600)
UPGRADE = {
    b"Connection": b"Upgrade",
    b"Upgrade": b"websocket",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": b"AAAAAAAAAAAAAAAAAAAAAA==",
}
GATEWAY = {
    "RELAY_AVATARKIT_CLIENTS": "true",
    "RELAY_AVATARKIT_URL_TOKEN": "true",
    "RELAY_AVATARKIT_GUESTS": "true",
    "SPATIUS_APP_ID": "app",
}
CONTROL = {
    "RELAY_CORS_ORIGINS": "https://app.example",
    "RELAY_SESSION_TOKENS": "true",
    "SPATIUS_API_KEY": "planted-secret-vendor-key",
    "SPATIUS_APP_ID": "app",
    "SPATIUS_CONSOLE_ENDPOINT": "http://127.0.0.1:9",
}
SERVICES = {
    "gateway": (
        GATEWAY,
        [b"/v1/conversations/c/stream", b"/ws/agent", b"/ws/host", b"/healthz", b"/api/config"],
    ),
    "control": (
        CONTROL,
        [
            b"/v1/conversations",
            b"/v1/conversations/c/turns",
            b"/v1/conversations/c/audio",
            b"/api/session-token",
        ],
    ),
}
"""By kind of process: its settings, and where it is asked."""
HEADERS = (
    b"Authorization", b"X-API-Key", b"Origin", b"Host", b"X-Forwarded-For", b"traceparent", b"tracestate",
    b"Idempotency-Key", b"Content-Type", b"Content-Encoding", b"Sec-WebSocket-Key", b"Sec-WebSocket-Protocol",
    b"Sec-WebSocket-Version", b"Sec-WebSocket-Extensions", b"Upgrade", b"Connection", b"Cookie",
    b"User-Agent", b"Access-Control-Request-Method", b"Access-Control-Request-Headers", b"Expect", b"Accept",
    b"Range", b"If-None-Match", b"Transfer-Encoding", b"Content-Length", b"X-Unknown",
)  # fmt: skip


def odd_bytes(chance: random.Random) -> bytes:
    """No end of line, and at least one byte that is not UTF-8 by itself."""
    some = [chance.choice(b"\t !%09AZaz~") for _ in range(chance.randrange(8))]
    odd = [chance.randrange(0x80, 0x100) for _ in range(chance.randrange(3))]
    both = [*some, *odd, 0xFF]
    chance.shuffle(both)
    return bytes(both)


def request(method: bytes, path: bytes, headers: dict[bytes, bytes]) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (method, path), *(b"%s: %s" % field for field in headers.items())]
    return b"\r\n".join((*lines, b"", b""))


async def assert_refused(child: Service, sent: bytes, *, upgrades: bool = False) -> None:
    answer = await child.exchange(sent)
    status = int(answer.split(b" ", 2)[1])
    vendor_is_away = b"vendor-failed" in answer
    assert 200 <= status < 500 or (upgrades and status == 101) or vendor_is_away, (sent, answer)


async def assert_calm(child: Service) -> None:
    """Nothing it logged is worse than a warning."""
    lines = [json.loads(line) for line in (await child.log()).splitlines()]
    assert not [line for line in lines if line["level"] in ("error", "critical")]


@pytest.mark.parametrize("kind", SERVICES)
async def test_bytes_that_are_no_text_in_any_header(service, kind: str) -> None:
    """With credentials and without, upgrades and plain requests, preflights too: 4xx."""
    settings, paths = SERVICES[kind]
    chance = random.Random(kind)
    credentials = {b"Authorization": f"Bearer {TOKEN if kind == 'gateway' else API_KEY}".encode()}
    preflight = {b"Origin": b"https://app.example", b"Access-Control-Request-Method": b"POST"}
    async with service(kind, RELAY_REQUESTS_BURST="100000", **settings) as child:
        refused = await child.metric("relay_http_problems_total")
        sent = 0
        for path in paths:
            for name in HEADERS:
                for method, others in ((b"GET", UPGRADE), (b"POST", {}), (b"OPTIONS", preflight)):
                    for known in ({}, credentials):
                        headers = {b"Host": b"x", **others, **known}
                        headers[name] = headers.get(name, b"") + odd_bytes(chance)
                        await assert_refused(child, request(method, path, headers))
                        sent += 1
        assert await child.metric("relay_http_problems_total") >= refused + sent
        await assert_calm(child)


@pytest.mark.parametrize("kind", SERVICES)
async def test_bytes_that_are_no_text_in_the_request_line(service, kind: str) -> None:
    """In the path and the query, raw and percent-encoded; the token in the query among them."""
    settings, paths = SERVICES[kind]
    chance = random.Random(kind)
    credentials = {b"Authorization": f"Bearer {TOKEN if kind == 'gateway' else API_KEY}".encode()}
    async with service(kind, RELAY_REQUESTS_BURST="100000", **settings) as child:
        for path in paths:
            for _ in range(20):
                raw = odd_bytes(chance).replace(b" ", b"").replace(b"\t", b"")
                for odd in (raw, b"".join(b"%%%02x" % byte for byte in raw)):
                    for target in (
                        path + odd, path.replace(b"/c/", b"/" + odd + b"/"), path + b"?token=" + odd,
                        path + b"?from=" + odd, path + b"?barge_in=" + odd, path + b"?" + odd,
                    ):  # fmt: skip
                        for method, others in ((b"GET", UPGRADE), (b"POST", {})):
                            headers = {b"Host": b"x", **others, **credentials}
                            await assert_refused(child, request(method, target, headers), upgrades=True)
        await assert_calm(child)


@pytest.mark.parametrize("kind", SERVICES)
@pytest.mark.parametrize("key", [b"", b"AAAA", b"\xc3\xa9", b"\xc3\x81" * 12, b"AAAAAAAAAAAAAAAAAAAAAA"])
async def test_handshakes_without_a_key(service, kind: str, key: bytes) -> None:
    """Refused by every service, however valid the rest; text that is not ASCII, too."""
    settings, paths = SERVICES[kind]
    async with service(kind, **settings) as child:
        for path in paths:
            for credential in (TOKEN, API_KEY):
                headers = {b"Host": b"x", **UPGRADE, b"Sec-WebSocket-Key": key}
                headers[b"Authorization"] = f"Bearer {credential}".encode()
                await assert_refused(child, request(b"GET", path, headers))
        await assert_calm(child)


@pytest.mark.parametrize("kind", SERVICES)
@pytest.mark.parametrize("body", [b"zz\r\n", b"5\r\nhello-and-more", b"-1\r\n", b"ffffffffffffffffff\r\n"])
async def test_bodies_that_are_no_bodies(service, kind: str, body: bytes) -> None:
    """Chunks that are none, with a key that is good: the connection ends, with or without an answer."""
    settings, paths = SERVICES[kind]
    headers = {
        b"Host": b"x",
        b"Transfer-Encoding": b"chunked",
        b"Authorization": f"Bearer {API_KEY}".encode(),
    }
    async with service(kind, **settings) as child:
        for path in paths:
            answer = await child.exchange(request(b"POST", path, headers) + body + b"\r\n")
            assert not answer or 200 <= int(answer.split(b" ", 2)[1]) < 500
        await assert_calm(child)

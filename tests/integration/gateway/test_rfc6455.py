"""RFC 6455: a gateway's requirements for a handshake, and for clients' frames."""

import pytest
from tests.rigs.metrics import metric
from tests.rigs.raw_websocket import BINARY, PING, TEXT, browser, client_frame, line

from relay_gateway.accept import CLOSES
from relay_gateway.handshake import SUBPROTOCOL, TOKEN_PREFIX

PINGED = client_frame(PING, b"x")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Connection": "keep-alive, Upgrade"}, 101),
        ({"Upgrade": "WebSocket"}, 101),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Version": "7"}, 426),
        ({"Sec-WebSocket-Version": "14"}, 426),
        ({"Sec-WebSocket-Version": None}, 426),
        ({"Sec-WebSocket-Version": "13, 8"}, 426),
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ"}, 400),
        ({"Sec-WebSocket-Key": "dGhlIHNhb*XBsZSBub25jZQ=="}, 400),
        ({"Connection": "keep-alive"}, 400),
        ({"Connection": None}, 400),
        ({"Upgrade": "h2c"}, 426),
        ({"Upgrade": None}, 426),
    ],
)
@pytest.mark.parametrize("token", ["header", "subprotocol"])
async def test_handshakes(open_rig, headers: dict[str, str | None], status: int, token: str) -> None:
    """Version 13, a key of 16 bytes, a request for the upgrade; 426 names the supported version."""
    async with open_rig() as rig, line(rig) as opened:
        if token == "header":
            headers = {"Authorization": f"Bearer {rig.token()}", **headers}
        else:
            headers = {"Sec-WebSocket-Protocol": f"{SUBPROTOCOL}, {TOKEN_PREFIX}{rig.token()}", **headers}
        answer = await opened.ask(rig.path, headers)

        assert answer.status == status
        if status == 426:
            assert answer.headers["sec-websocket-version"] == "13"
            assert answer.headers["upgrade"] == "websocket"
        if status != 101:
            assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [("HEAD {path} HTTP/1.1", 400), ("GET {path} HTTP/1.0", 400), ("POST {path} HTTP/1.1", 405)],
)
async def test_an_upgrade_is_a_get_of_http_1_1(open_rig, request_line: str, status: int) -> None:
    """Nothing else is one."""
    async with open_rig() as rig, line(rig) as opened:
        headers = {"Authorization": f"Bearer {rig.token()}"}
        assert (await opened.ask(rig.path, headers, request_line)).status == status


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (client_frame(TEXT, b'{"type":"ping"}', masked=False), 1002),
        (client_frame(BINARY, b"x" * 300, masked=False), 1002),
        (client_frame(PING, masked=False), 1002),
        (client_frame(0x88, masked=False), 1002),
        (PINGED * 3 + client_frame(TEXT, b"{}", masked=False), 1002),
        (client_frame(BINARY, b"x" * 300) + client_frame(TEXT, b"{}", masked=False), 1002),
        (client_frame(TEXT | 0x40, b"{}"), 1002),
        (client_frame(TEXT | 0x20, b"{}"), 1002),
        (client_frame(TEXT | 0x10, b"{}"), 1002),
        (client_frame(0x83), 1002),
        (client_frame(0x8B), 1002),
        (client_frame(0x09), 1002),
        (client_frame(PING, b"x" * 126), 1002),
        (client_frame(0x80, b"x"), 1002),
        (client_frame(0x88, b"\x03"), 1002),
        (client_frame(TEXT, b"\xff"), 1007),
    ],
)
@pytest.mark.parametrize("pieces", ["whole", "bytes"])
async def test_frames(open_rig, eventually, sent: bytes, code: int, pieces: str) -> None:
    """No mask, reserved bits and opcodes, control frames that are long or cut."""
    name = {1002: "protocol_error", 1007: "invalid_text"}[code]
    async with open_rig() as rig:
        counted = metric(CLOSES, code=name)
        async with browser(rig) as viewer:
            for part in (bytes((byte,)) for byte in sent) if pieces == "bytes" else (sent,):
                viewer.writer.write(part)
                await viewer.writer.drain()
            assert await viewer.close_code() == code
        await eventually(lambda: metric(CLOSES, code=name) == counted + 1)


async def test_masked_frames_of_every_length(open_rig) -> None:
    """However they are cut on the way."""
    async with open_rig() as rig, browser(rig) as viewer:
        for size in (0, 1, 125, 126, 127, 1000, 65535):
            viewer.writer.write(client_frame(BINARY, b"x" * size))
        viewer.writer.write(client_frame(0x88, b"\x03\xe8"))
        assert await viewer.close_code() == 1000

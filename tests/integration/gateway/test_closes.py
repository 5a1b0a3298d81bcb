"""Closes: how a viewer's socket ended is counted as what it was."""

import struct

import pytest
from prometheus_client import generate_latest
from tests.rigs.metrics import metric
from tests.rigs.raw_websocket import browser, client_frame

from relay_gateway.accept import CLOSES
from relay_wire.close_codes import REGISTRY

CLOSE = 0x88


def close(code: int | None) -> bytes:
    return client_frame(CLOSE, b"" if code is None else struct.pack("!H", code))


@pytest.mark.parametrize(
    ("code", "name"), [(None, "no_status"), (1000, "normal"), (1001, "going_away"), (3000, "other")]
)
async def test_a_close_is_counted_as_what_it_was(open_rig, eventually, code: int | None, name: str) -> None:
    """Also one without a code, as browsers' ``close()`` sends it."""
    async with open_rig() as rig:
        before, abnormal = metric(CLOSES, code=name), metric(CLOSES, code="abnormal")
        async with browser(rig) as viewer:
            viewer.writer.write(close(code))
            assert await viewer.close_code() == 1000
        await eventually(lambda: metric(CLOSES, code=name) == before + 1)
        assert metric(CLOSES, code="abnormal") == abnormal


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


async def test_what_was_said_before_a_close_is_heard(open_rig, eventually) -> None:
    """It goes up although the viewer is gone by then."""
    async with open_rig() as rig:
        async with browser(rig) as viewer:
            viewer.writer.write(client_frame(0x81, b'{"type":"text","text":"hi"}') * 3 + close(1000))
        async with browser(rig):
            entries = await eventually(rig.uplink, until=lambda found: len(found) >= 3)
        assert [type(entry).__name__ for entry in entries] == ["Text"] * 3


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

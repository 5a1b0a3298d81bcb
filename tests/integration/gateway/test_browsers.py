"""Browsers: their pages cannot read the status of a refused handshake, so they receive a close code."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from tests.rigs.gateway import GatewayRig, events_in, listen_to
from tests.rigs.metrics import metric

from relay_gateway.accept import CLOSES
from relay_gateway.handshake import SUBPROTOCOL, TOKEN_PREFIX
from relay_wire import events


async def closed_with(
    rig: GatewayRig, path: str = "", *, token: str = "", headers: Mapping[str, str] = {}
) -> int:
    """The code that a page sees."""
    protocols = (SUBPROTOCOL, TOKEN_PREFIX + (token or rig.token()))
    async with await rig.connect(path, headers=headers, protocols=protocols) as socket:
        assert events_in(await listen_to(socket), events.Hello) == []
        assert socket.protocol == SUBPROTOCOL
        return socket.close_code or 0


async def test_a_token_that_is_not_valid(open_rig) -> None:
    """Expired, forged, malformed, for another conversation: never to come back with it."""
    async with open_rig() as rig:
        for token in (rig.token(ttl_s=-60), rig.token(key="o" * 40), "garbage"):
            assert await closed_with(rig, token=token) == 4401
        assert await closed_with(rig, token=rig.token(conversation="other")) == 4403


async def test_a_conversation_that_is_not_there(open_rig) -> None:
    """Unknown, and over."""
    async with open_rig() as rig:
        path = "/v1/conversations/nobody/stream"
        assert await closed_with(rig, path, token=rig.token(conversation="nobody")) == 4404
        await rig.store.client.execute("HSET", rig.keys.meta, "state", "ended")
        for start in ("turn", "last", "live"):
            assert await closed_with(rig, f"{rig.path}?from={start}") == 4410


async def test_what_is_to_be_tried_again(open_rig) -> None:
    """A gateway that leaves, and a conversation with too many viewers."""
    async with open_rig(max_conversation_viewers=1) as rig:
        async with rig.viewer():
            assert await closed_with(rig) == 1013
        await rig.service.close()
        assert await closed_with(rig) == 1012


async def test_redis_away(proxied, eventually) -> None:
    """Not final: the conversation may well be there."""
    async with proxied() as (rig, proxy):
        await proxy.set_mode("refuse")
        await eventually(rig.service.readiness)
        assert await closed_with(rig) == 4200


async def test_a_position_that_is_none(open_rig) -> None:
    """The same request would end the same way."""
    async with open_rig() as rig:
        assert await closed_with(rig, f"{rig.path}?from=garbage") == 4400


async def test_a_page_of_another_origin(open_rig) -> None:
    """A close code, so that it does not reconnect for ever."""
    async with open_rig(origins=("https://app.example",)) as rig:
        assert await closed_with(rig, headers={"Origin": "https://evil.example"}) == 4403


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"requests_per_s": 0.001, "requests_burst": 1}, 429),
        ({"max_address_viewers": 1}, 429),
        ({"max_viewers": 1}, 503),
    ],
)
async def test_limits_come_first(open_rig, settings: dict[str, Any], status: int) -> None:
    """Who exceeds one is given no socket, whatever is wrong with its token."""
    async with open_rig(**settings) as rig, await rig.connect():
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await closed_with(rig, token="garbage")
        assert refusal.value.status == status


async def test_refusals_are_counted_and_leave_nothing(open_rig, eventually) -> None:
    """Each is one more close of its code, and gives its place back."""
    async with open_rig(max_viewers=1) as rig:
        before = metric(CLOSES, code="bad_token")
        for _ in range(5):
            assert await closed_with(rig, token="garbage") == 4401
            await eventually(lambda: not rig.service._admission._gateway._used)
        assert metric(CLOSES, code="bad_token") == before + 5
        async with await rig.connect() as socket:
            assert not socket.closed


async def test_clients_with_a_header_are_answered_in_http(open_rig) -> None:
    """They get a status and a problem, also when they offer a token as a subprotocol, too."""
    async with open_rig() as rig:
        headers = {"Authorization": "Bearer garbage"}
        protocols = (SUBPROTOCOL, TOKEN_PREFIX + "garbage")
        assert await rig.refused(headers=headers, protocols=protocols) == (401, "unauthorized")
        assert await rig.refused(headers={}, protocols=(SUBPROTOCOL,)) == (401, "unauthorized")
        other = ("graphql-ws", TOKEN_PREFIX + rig.token())
        assert await rig.refused(headers={}, protocols=other) == (400, "bad-request")

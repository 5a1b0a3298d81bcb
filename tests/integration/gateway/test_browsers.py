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
    b: GatewayRig, path: str = "", *, token: str = "", headers: Mapping[str, str] = {}
) -> int:
    """The code that a page sees."""
    protocols = (SUBPROTOCOL, TOKEN_PREFIX + (token or b.token()))
    async with await b.connect(path, headers=headers, protocols=protocols) as socket:
        assert events_in(await listen_to(socket), events.Hello) == []
        assert socket.protocol == SUBPROTOCOL
        return socket.close_code or 0


async def test_a_token_that_is_not_valid(bench) -> None:
    """Expired, forged, malformed, for another conversation: never to come back with it."""
    async with bench() as b:
        for token in (b.token(ttl_s=-60), b.token(key="o" * 40), "garbage"):
            assert await closed_with(b, token=token) == 4401
        assert await closed_with(b, token=b.token(conversation="other")) == 4403


async def test_a_conversation_that_is_not_there(bench) -> None:
    """Unknown, and over."""
    async with bench() as b:
        path = "/v1/conversations/nobody/stream"
        assert await closed_with(b, path, token=b.token(conversation="nobody")) == 4404
        await b.store.client.execute("HSET", b.keys.meta, "state", "ended")
        for start in ("turn", "last", "live"):
            assert await closed_with(b, f"{b.path}?from={start}") == 4410


async def test_what_is_to_be_tried_again(bench) -> None:
    """A gateway that leaves, and a conversation with too many viewers."""
    async with bench(max_conversation_viewers=1) as b:
        async with b.viewer():
            assert await closed_with(b) == 1013
        await b.service.close()
        assert await closed_with(b) == 1012


async def test_redis_away(proxied, eventually) -> None:
    """Not final: the conversation may well be there."""
    async with proxied() as (b, proxy):
        await proxy.set_mode("refuse")
        await eventually(b.service.readiness)
        assert await closed_with(b) == 4200


async def test_a_position_that_is_none(bench) -> None:
    """The same request would end the same way."""
    async with bench() as b:
        assert await closed_with(b, f"{b.path}?from=garbage") == 4400


async def test_a_page_of_another_origin(bench) -> None:
    """A close code, so that it does not reconnect for ever."""
    async with bench(origins=("https://app.example",)) as b:
        assert await closed_with(b, headers={"Origin": "https://evil.example"}) == 4403


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"requests_per_s": 0.001, "requests_burst": 1}, 429),
        ({"max_address_viewers": 1}, 429),
        ({"max_viewers": 1}, 503),
    ],
)
async def test_limits_come_first(bench, settings: dict[str, Any], status: int) -> None:
    """Who exceeds one is given no socket, whatever is wrong with its token."""
    async with bench(**settings) as b, await b.connect():
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await closed_with(b, token="garbage")
        assert refusal.value.status == status


async def test_refusals_are_counted_and_leave_nothing(bench, eventually) -> None:
    """Each is one more close of its code, and gives its place back."""
    async with bench(max_viewers=1) as b:
        before = metric(CLOSES, code="bad_token")
        for _ in range(5):
            assert await closed_with(b, token="garbage") == 4401
            await eventually(lambda: not b.service._admission._gateway._used)
        assert metric(CLOSES, code="bad_token") == before + 5
        async with await b.connect() as socket:
            assert not socket.closed


async def test_clients_with_a_header_are_answered_in_http(bench) -> None:
    """They get a status and a problem, also when they offer a token as a subprotocol, too."""
    async with bench() as b:
        headers = {"Authorization": "Bearer garbage"}
        protocols = (SUBPROTOCOL, TOKEN_PREFIX + "garbage")
        assert await b.refused(headers=headers, protocols=protocols) == (401, "unauthorized")
        assert await b.refused(headers={}, protocols=(SUBPROTOCOL,)) == (401, "unauthorized")
        other = ("graphql-ws", TOKEN_PREFIX + b.token())
        assert await b.refused(headers={}, protocols=other) == (400, "bad-request")

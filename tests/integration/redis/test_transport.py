"""Transports: their end."""

import pytest
from redis import exceptions

from relay_redis.endpoint import endpoint_of
from relay_redis.transport import Reply, RespTransport, pack
from relay_settings.redis_url import RedisUrl


async def test_commands_for_a_connection_that_is_gone(open_store) -> None:
    """They are discarded, and ``wait_closed`` raises, since a write and the break may coincide."""
    replies: list[Reply] = []
    async with open_store() as store:
        connection = await endpoint_of(RedisUrl.parse(store.url)).open(name="test", timeout_s=5)
        transport = RespTransport(connection, replies.append, print)
        transport._transport.abort()
        transport.write([pack(("PING",))])
        with pytest.raises(exceptions.ConnectionError):
            await transport.wait_closed()
        await connection.disconnect(nowait=True)
        assert replies == []

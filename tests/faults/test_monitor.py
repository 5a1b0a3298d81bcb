"""The monitor records what is deleted before anybody can read it."""

import uvloop
from redis.asyncio import Redis
from tests.faults.monitor import Monitor
from tests.faults.tap import Tape, key
from tests.rigs.need import need

from relay_redis.local_server import LocalServer, distribution_binary, embedded_binary

FRAME = bytes(range(256))
"""As long as its header, and more; with every byte there is."""


def test_a_frame_that_is_deleted_at_once_is_recorded() -> None:
    """By a command, by a script, in the same instant as it is written; each with its very bytes."""
    with LocalServer(need(distribution_binary() or embedded_binary(), "redis-server")) as server:
        uvloop.run(_delete_at_once(server.port))


async def _delete_at_once(port: int) -> None:
    tapes = {"one": Tape(), "silent": Tape()}
    stream = key("one", "down")
    script = "redis.call('XADD', KEYS[1], '1-2', 'f', ARGV[1], 'u', '7-1') redis.call('DEL', KEYS[1])"
    async with Monitor([port], tapes, keep=True) as monitor, Redis(port=port, protocol=2) as client:
        async with client.pipeline(transaction=True) as pipe:
            pipe.xadd(stream, {"f": FRAME}, id="1-1")
            pipe.delete(stream)
            await pipe.execute()
        await client.eval(script, 1, stream, FRAME)
        await client.xadd(key("another", "down"), {"f": FRAME}, id="1-1")
        await client.xadd(key("one", "up"), {"f": FRAME}, id="1-3")
        await client.xadd(stream, {"f": FRAME[::-1]}, id="1-2")
        await monitor.until(3)
    assert tapes["one"].frames == {(1, 1): FRAME, (1, 2): FRAME}
    assert tapes["one"].conflicts == [(1, 2)], "written again with other bytes"
    assert not tapes["silent"].publications

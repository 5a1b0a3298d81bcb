"""Latency of commands: one in seven is observed, by the name of its command or script."""

import secrets

from relay_redis.client import RedisClient
from relay_redis.latency import COMMAND_SECONDS, OBSERVED_EVERY, OTHER
from relay_streams.scripts import SCHEMA
from relay_streams.scripts.purge import PURGE


def observed(client: str) -> dict[str, float]:
    """By command, the number of observations."""
    return {
        sample.labels["command"]: sample.value
        for family in COMMAND_SECONDS.collect()
        for sample in family.samples
        if sample.name.endswith("_count") and sample.labels["client"] == client
    }


async def test_commands_and_scripts_by_their_name(open_store) -> None:
    """Also a script whose text is sent; what the client does not know is other, and a refusal is nothing."""
    name = f"latency-{secrets.token_hex(4)}"
    async with open_store() as store, RedisClient(store.url, SCHEMA, name=name) as client:
        await client.ready()
        for _ in range(2 * OBSERVED_EVERY):
            await client.execute("GET", "k")
        for _ in range(OBSERVED_EVERY):
            await client.execute("ECHO", "a")
        for _ in range(OBSERVED_EVERY - 1):
            await client.execute("GET", "k")
        await store.client.execute("SCRIPT", "FLUSH")
        await client.run_script(PURGE, ["k"], "stream")

    assert observed(name) == {"GET": 2, OTHER: 1, PURGE.name: 1}
    [total] = [
        sample.value
        for family in COMMAND_SECONDS.collect()
        for sample in family.samples
        if sample.name.endswith("_sum") and sample.labels == {"client": name, "command": "GET"}
    ]
    assert total > 0

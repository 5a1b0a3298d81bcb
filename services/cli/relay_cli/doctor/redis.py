"""Checks of Redis, of what the relay has stored there, and of the workers that use it."""

import time
from collections.abc import Awaitable, Callable

from relay_cli.doctor import finding
from relay_cli.doctor.finding import Finding
from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_settings.base import SettingsError
from relay_settings.redis_url import RedisUrl
from relay_settings.store import StoreSettings
from relay_streams.installation import Disagreement, Installation
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA

_OLDEST_REDIS = (7, 0)
_CLOCK_S = 1.0


async def examine() -> list[Finding]:
    """Whether Redis serves, how it is set, and whether a worker uses it."""
    try:
        settings = StoreSettings.load()
    except SettingsError as error:
        return [Finding("Redis", "fail", str(error), "correct RELAY_REDIS_URL")]
    where = RedisUrl.parse(settings.store_url).where
    async with RedisClient(settings.store_url, SCHEMA, name="doctor", timeout_s=finding.TIMEOUT_S) as client:
        try:
            findings = [await check(client) for check in _REDIS_CHECKS]
            keys = KeySpace.of(settings)
            return [*findings, await _installation(client, keys), await _workers(client, keys)]
        except StoreError as error:
            return [Finding("Redis", "fail", f"{where}: {error}", "start it, or correct RELAY_REDIS_URL")]


async def _redis_version(client: RedisClient) -> Finding:
    lines = (await client.execute("INFO", "server")).decode().splitlines()
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    name = info.get("server_name", "redis")
    version = info.get("valkey_version") or info["redis_version"]
    old = tuple(int(part) for part in info["redis_version"].split(".")[:2]) < _OLDEST_REDIS
    fix = "sharded pub/sub needs Redis 7.0 or Valkey: upgrade" if old else ""
    return Finding("Redis version", "fail" if old else "ok", f"{name} {version}", fix)


async def _eviction(client: RedisClient) -> Finding:
    policy = await _config(client, "maxmemory-policy")
    if policy not in ("", "noeviction"):
        fix = "CONFIG SET maxmemory-policy noeviction: an evicted record is a lost conversation"
        return Finding("Redis maxmemory-policy", "fail", policy, fix)
    return Finding("Redis maxmemory-policy", "ok", policy or "not readable here")


async def _persistence(client: RedisClient) -> Finding:
    if await _config(client, "appendonly") == "no" and not await _config(client, "save"):
        return Finding("Redis persistence", "warn", "off", "conversations under way are lost with a restart")
    return Finding("Redis persistence", "ok", "on, or not readable here")


async def _clock(client: RedisClient) -> Finding:
    before = time.time()
    seconds, microseconds = await client.execute("TIME")
    difference_s = abs((before + time.time()) / 2 - int(seconds) - int(microseconds) / 1e6)
    fix = (
        "run NTP on both machines: latencies and token times are wrong otherwise"
        if difference_s > _CLOCK_S
        else ""
    )
    return Finding("clock against Redis", "warn" if fix else "ok", f"{difference_s * 1000:.1f} ms apart", fix)


async def _installation(client: RedisClient, keys: KeySpace) -> Finding:
    try:
        written = await Installation(client, keys).check()
    except Disagreement as error:
        return Finding("installation", "fail", str(error), "correct RELAY_PARTITIONS or RELAY_KEY_PREFIX")
    found = f"{keys.partitions} partitions, prefix {keys.prefix}"
    return Finding("installation", "ok", found if written else f"{found}: no process has started yet")


async def _workers(client: RedisClient, keys: KeySpace) -> Finding:
    """Each worker stores its load every few seconds, for the time that its leases last."""
    if await client.execute("EXISTS", keys.shared(0).loads):
        return Finding("ingest workers", "ok", "at least one owns conversations, or waits for some")
    fix = "start relay-ingest with this RELAY_REDIS_URL and RELAY_KEY_PREFIX: nobody speaks until then"
    return Finding("ingest workers", "warn", "none has reported to this Redis lately", fix)


_REDIS_CHECKS: list[Callable[[RedisClient], Awaitable[Finding]]] = [
    _redis_version,
    _eviction,
    _persistence,
    _clock,
]


async def _config(client: RedisClient, name: str) -> str:
    try:
        reply = await client.execute("CONFIG", "GET", name)
    except StoreError:
        return ""  # Managed Redis often forbids CONFIG.
    return reply[1].decode() if len(reply) > 1 else ""

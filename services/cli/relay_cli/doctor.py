"""Doctor: checks the relay's environment, and names the setting and the fix for each fault."""

import asyncio
import resource
import secrets
import socket
import sys
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from rich.console import Console
from rich.table import Table

from relay_redis.client import RedisClient
from relay_redis.errors import StoreError
from relay_settings.base import Settings, SettingsError
from relay_settings.catalogue import SERVICES
from relay_settings.environment import variable
from relay_settings.host import is_ipv6
from relay_settings.jobs import JobsSettings
from relay_settings.outbox import OutboxSettings
from relay_settings.redis_url import RedisUrl
from relay_settings.store import StoreSettings
from relay_settings.unused import unused
from relay_streams import job_roles
from relay_streams.installation import Disagreement, Installation
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_telemetry.version import hot_path

_SERVICES = ("gateway", "ingest", "control")
_OLDEST_REDIS = (7, 0)
_CLOCK_S = 1.0
_TIMEOUT_S = 5.0
_OPEN_FILES = 65_536

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class Finding(NamedTuple):
    """The result of one check."""

    what: str
    state: Literal["ok", "warn", "fail"]
    found: str
    fix: str = ""


async def examine() -> list[Finding]:
    """Run all checks. Never raises: a check that cannot run is a finding."""
    findings = [_settings_of(service, SERVICES[service]) for service in _services()]
    findings += _variables()
    findings += await _redis()
    findings += await _jobs()
    findings += [await _reachable(*host) for host in _vendor_hosts()]
    findings += [
        _port_free("gateway"),
        _port_free("control"),
        _open_files(),
        _interpreter(),
        _hot_path(),
    ]
    return findings


def show(findings: list[Finding], console: Console) -> None:
    """Print the findings as a table, one line each."""
    table = Table("checked", "state", "found", "fix")
    for finding in findings:
        style = _STYLES[finding.state]
        table.add_row(
            finding.what, f"[{style}]{finding.state}[/]", "; ".join(finding.found.splitlines()), finding.fix
        )
    console.print(table)


def _settings_of(service: str, kind: type[Settings]) -> Finding:
    name = f"settings of {service}"
    try:
        kind.load()
    except SettingsError as error:
        return Finding(name, "fail", str(error), "set the variables named here, or files of those names")
    return Finding(name, "ok", "complete")


def _variables() -> list[Finding]:
    """Find variables without an effect. Each is reported once, also when two services read it."""
    try:
        sentences = dict.fromkeys(
            sentence for service in _services() for sentence in unused(SERVICES[service])
        )
    except SettingsError as error:
        return [Finding("variables", "fail", str(error), "correct the file or its permissions")]
    return [
        Finding("variables", "warn", sentence, "correct or remove the variable") for sentence in sentences
    ] or [Finding("variables", "ok", "all have an effect")]


def _services() -> tuple[str, ...]:
    """The services whose settings are checked: jobs only where they are on, since they may need a broker."""
    return (*_SERVICES, "jobs") if _jobs_are_on() else _SERVICES


def _jobs_are_on() -> bool:
    try:
        return OutboxSettings.load().jobs
    except SettingsError:
        return False  # a finding of every service's settings


async def _jobs() -> list[Finding]:
    """Look for the broker, and for processes that do the work."""
    if not _jobs_are_on():
        return [Finding("jobs", "ok", "off")]
    try:
        settings = JobsSettings.load()
    except SettingsError:
        return []  # a finding of its own
    return [await _broker(settings), await _job_roles(settings), *await _recordings(settings)]


async def _broker(settings: JobsSettings) -> Finding:
    where = RedisUrl.parse(settings.broker_url).where
    async with RedisClient(settings.broker_url, SCHEMA, name="doctor", timeout_s=_TIMEOUT_S) as client:
        try:
            await client.execute("GET", "nothing")
        except StoreError as error:
            fix = "start it, or correct RELAY_JOBS_BROKER_URL; without it jobs wait in the store"
            return Finding("jobs broker", "fail", f"{where}: {error}", fix)
    return Finding("jobs broker", "ok", f"{where} answers")


async def _job_roles(settings: JobsSettings) -> Finding:
    async with RedisClient(settings.store_url, SCHEMA, name="doctor", timeout_s=_TIMEOUT_S) as client:
        try:
            missing = await job_roles.missing(client, KeySpace.of(settings))
        except StoreError as error:
            return Finding("jobs processes", "fail", str(error), "see Redis")
    if not missing:
        return Finding("jobs processes", "ok", "dispatcher, worker and beat do their work")
    fix = (
        f"start {', '.join(f'relay-jobs {role}' for role in missing)}, or see /readyz: the outbox only fills"
    )
    return Finding("jobs processes", "fail", f"none of: {', '.join(missing)}", fix)


async def _recordings(settings: JobsSettings) -> list[Finding]:
    """Try the place of recordings, where there is one."""
    url = settings.recordings_url
    if not url:
        return []
    if url.startswith("s3://"):
        return [await _bucket(settings)]
    return [await asyncio.to_thread(_folder, Path(url.removeprefix("file://")))]


def _folder(folder: Path) -> Finding:
    """Workers create a folder that is missing, so that the nearest one that exists is tried."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return Finding("recordings", "ok", f"{folder} can be written")
    except OSError as error:
        fix = "correct RELAY_RECORDINGS_URL, or let the user of the workers write there"
        return Finding("recordings", "fail", f"{nearest}: {error.strerror}", fix)


async def _bucket(settings: JobsSettings) -> Finding:
    """Store an empty object and remove it. A server that is away is found first: boto tries for minutes."""
    url, endpoint = settings.recordings_url, settings.recordings_s3_endpoint
    try:
        if endpoint:
            await _status(endpoint)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        where = f"{urlsplit(endpoint).netloc.rpartition('@')[2]}: {str(error) or type(error).__name__}"
        return Finding("recordings", "fail", where, "start it, or correct RELAY_RECORDINGS_S3_ENDPOINT")
    try:
        await asyncio.to_thread(_write_to, settings)
    except ImportError:
        return Finding("recordings", "fail", "s3fs is not installed", "pip install 'avatar-relay[jobs-s3]'")
    except Exception as error:  # noqa: BLE001  # of fsspec, s3fs and boto
        fix = (
            "create the bucket, or correct RELAY_RECORDINGS_URL or RELAY_RECORDINGS_S3_KEY_ID, or its rights"
        )
        return Finding("recordings", "fail", f"{url}: {str(error) or type(error).__name__}", fix)
    return Finding("recordings", "ok", f"{url} can be written")


def _write_to(settings: JobsSettings) -> None:
    from relay_jobs.storage import Storage  # noqa: PLC0415

    storage, name = Storage.of(settings), f".doctor-{secrets.token_hex(4)}"
    storage.put(name, b"")
    storage.remove([name])


async def _redis() -> list[Finding]:
    try:
        settings = StoreSettings.load()
    except SettingsError as error:
        return [Finding("Redis", "fail", str(error), "correct RELAY_REDIS_URL")]
    where = RedisUrl.parse(settings.store_url).where
    async with RedisClient(settings.store_url, SCHEMA, name="doctor", timeout_s=_TIMEOUT_S) as client:
        try:
            findings = [await check(client) for check in _REDIS_CHECKS]
            return [*findings, await _installation(client, KeySpace.of(settings))]
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


def _vendor_hosts() -> list[tuple[str, str]]:
    region = variable("SPATIUS_REGION") or "us-west"
    domain = "spatialwalk.top" if region.startswith("cn-") else "spatius.ai"
    return [
        (
            "SPATIUS_CONSOLE_ENDPOINT",
            variable("SPATIUS_CONSOLE_ENDPOINT") or f"https://console.{region}.{domain}",
        ),
        (
            "SPATIUS_INGRESS_ENDPOINT",
            variable("SPATIUS_INGRESS_ENDPOINT") or f"https://api.{region}.{domain}",
        ),
    ]


async def _reachable(name: str, url: str) -> Finding:
    what = f"vendor: {urlsplit(url).hostname}"
    try:
        return Finding(what, "ok", f"answers (HTTP {await _status(url)})")
    except (aiohttp.ClientError, OSError) as error:
        return Finding(what, "fail", str(error) or type(error).__name__, f"allow egress to it, or set {name}")


async def _status(url: str) -> int:
    """The status with which a host answers."""
    parts = urlsplit(url)
    base = f"{'https' if parts.scheme in ('https', 'wss') else 'http'}://{parts.netloc}/"
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(base) as response:
        return response.status


def _port_free(service: str) -> Finding:
    fields = SERVICES[service].model_fields
    host, port = (
        variable(SERVICES[service].variable(name)) or str(fields[name].default)
        for name in (f"{service}_host", f"{service}_port")
    )
    host = host.strip("[]")
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    try:
        with socket.create_server((host, int(port)), family=family):
            return Finding(f"port {port}", "ok", f"free at {host}")
    except (OSError, ValueError, OverflowError) as error:
        fix = f"set RELAY_{service.upper()}_PORT, unless the relay itself uses the port"
        return Finding(f"port {port}", "warn", str(error), fix)


def _open_files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = soft < _OPEN_FILES
    fix = f"ulimit -n {_OPEN_FILES} for gateways: each viewer is an open file" if few else ""
    return Finding("open files", "warn" if few else "ok", f"{soft} allowed", fix)


def _interpreter() -> Finding:
    """Distributions optimise their Python without a flag in its build; other builds show their flags."""
    flags = sysconfig.get_config_var("CONFIG_ARGS") or ""
    slow = sys.base_prefix != "/usr" and "--enable-optimizations" not in flags
    found = f"{sys.implementation.name} {sys.version.split()[0]}, {'not ' if slow else ''}optimised"
    fix = "a distribution's Python, or one built with --enable-optimizations, takes less CPU" if slow else ""
    return Finding("Python", "warn" if slow else "ok", found, fix)


def _hot_path() -> Finding:
    found = hot_path()
    fix = (
        ""
        if found == "compiled"
        else "install with HATCH_BUILD_HOOKS_ENABLE=1 and --no-binary avatar-relay: less CPU"
    )
    return Finding("hot path", "ok" if found == "compiled" else "warn", found, fix)

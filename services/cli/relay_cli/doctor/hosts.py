"""Checks of hosts outside the relay: those of the vendor."""

from urllib.parse import urlsplit

import aiohttp

from relay_cli.doctor import finding
from relay_cli.doctor.finding import Finding
from relay_settings.environment import variable


async def vendor() -> list[Finding]:
    """Ask the hosts of the vendor, which ingest connects to."""
    return [await _reachable(*host) for host in _vendor_hosts()]


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
        return Finding(what, "ok", f"answers (HTTP {await status(url)})")
    except (aiohttp.ClientError, OSError) as error:
        return Finding(what, "fail", str(error) or type(error).__name__, f"allow egress to it, or set {name}")


async def status(url: str) -> int:
    """The status with which a host answers."""
    parts = urlsplit(url)
    base = f"{'https' if parts.scheme in ('https', 'wss') else 'http'}://{parts.netloc}/"
    timeout = aiohttp.ClientTimeout(total=finding.TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(base) as response:
        return response.status

"""The sender: one request to an endpoint, to an address that was checked, within bounds of time and size.

The host's addresses are resolved and checked for each connection, and the connection goes to one of these
addresses: a name that resolves to another address a moment later changes nothing. Redirects are not
followed, the environment's proxies are not used, and nothing of the answer is read but its header.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from socket import AddressFamily
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from relay_jobs.webhooks.addresses import is_public
from relay_jobs.webhooks.endpoints import Endpoint, Rules
from relay_jobs.webhooks.retries import Result, outcome_of, retry_after_s
from relay_telemetry.version import version

_USER_AGENT: Final = f"avatar-relay/{version()}"  # made once, since it reads the disk
_HEADER_BYTES: Final = 8 * 1024
"""Largest line and largest field of an answer's header."""
_IDLE_S: Final = 4.0
"""How long an idle connection is kept for the next webhook to the same endpoint. Common servers close idle
connections after 5 s: a request must not meet that."""


class ForbiddenAddress(OSError):
    """Raised when a host resolves to an address that is not public."""


class CheckedResolver(AbstractResolver):
    """Resolves hosts to public addresses only.

    Args:
        resolver: Resolves.
    """

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            ForbiddenAddress: One of them is not public: so is none used, whatever their order.
            OSError: The host cannot be resolved.
        """
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(each["host"]) for each in found):
            raise ForbiddenAddress("the host resolves to an address that is not public")
        return found

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


class Sender:
    """Sends webhooks. Opened by ``open_sender``.

    Args:
        session: Its connector checks addresses.
        rules: Which hosts and addresses are allowed.
        timeout_s: Longest time of one request.
    """

    def __init__(self, session: aiohttp.ClientSession, rules: Rules, *, timeout_s: float) -> None:
        self._session = session
        self._rules = rules
        self._timeout_s = timeout_s

    async def send(self, endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> Result:
        """Send one request.

        Cancelling closes its connection; the receiver may have it.

        Returns:
            The result, also when there is no answer.
        """
        if not self._may_reach(endpoint.host):
            return Result("forbidden")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(endpoint.url, headers, body)
        except TimeoutError:
            return Result("timed_out")
        except (ssl.SSLError, aiohttp.ClientSSLError):
            return Result("untrusted")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Result("forbidden" if _is_forbidden(error) else "unreachable")

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Result:
        response = await self._session.post(url, data=body, headers=headers, allow_redirects=False)
        if response.content.is_eof():
            response.release()
        else:  # what follows may be endless
            response.close()
        retry_after = retry_after_s(response.headers.get("Retry-After", ""), time.time())
        return Result(outcome_of(response.status), response.status, retry_after)

    def _may_reach(self, host: str) -> bool:
        """Whether a host is allowed; one that is an address, without a name, is checked here."""
        if not self._rules.hosts.allow(host):
            return False
        is_address = ":" in host or host.replace(".", "").isdigit()
        return self._rules.private_networks or not is_address or is_public(host)


@asynccontextmanager
async def open_sender(
    rules: Rules, *, connect_s: float, timeout_s: float, resolver: AbstractResolver | None = None
) -> AsyncIterator[Sender]:
    """A sender, with its connections, while the block runs.

    Args:
        rules: Which hosts and addresses are allowed.
        connect_s: Longest wait for a connection, TLS included.
        timeout_s: Longest time of one request.
        resolver: Resolves hosts; None: as the system does.
    """
    resolving = resolver or aiohttp.ThreadedResolver()
    connector = aiohttp.TCPConnector(
        resolver=resolving if rules.private_networks else CheckedResolver(resolving),
        use_dns_cache=False,
        keepalive_timeout=_IDLE_S,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=timeout_s, connect=connect_s, sock_connect=connect_s),
        headers={"Content-Type": "application/json", "User-Agent": _USER_AGENT},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=_HEADER_BYTES,
        max_field_size=_HEADER_BYTES,
        trust_env=False,
    ) as session:
        yield Sender(session, rules, timeout_s=timeout_s)


def _is_forbidden(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ForbiddenAddress):
            return True
        cause = cause.__cause__
    return False

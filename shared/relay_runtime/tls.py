"""TLS: the certificate of this process's ports, loaded again when its files change."""

import asyncio
import ssl
from pathlib import Path
from typing import NoReturn

import structlog
from prometheus_client import Counter

POLL_S = 10.0
"""The interval of checks: a renewed certificate is used after this."""

FAILURES = Counter(
    "relay_tls_failures_total", "Times changed certificate files could not be used; the last ones stay."
)

log = structlog.get_logger(__name__)


class Certificate:
    """A certificate chain with its key, in PEM files.

    Args:
        chain: The certificate, and those between it and the authority.
        key: Its private key, not encrypted.

    Attributes:
        context: For servers. Connections made after a change get the new certificate; open ones stay. No
            handshake fails while it changes: each uses one loaded pair.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self._seen: tuple[int, ...] = ()
        self._loaded = self.context = _context()
        # A context in use is never written: OpenSSL has no lock for it, and a handshake between the loading
        # of the chain and of its key would have no key. The callback runs in each handshake, with a name or
        # without.
        self.context.sni_callback = self._select

    def load(self) -> bool:
        """Read the files if they have changed; returns whether they have. Blocks.

        Raises:
            OSError: They cannot be read, or are not a certificate and its key (``ssl.SSLError``).
        """
        seen = tuple(part for path in (self._chain, self._key) for part in _version(path))
        if seen == self._seen:
            return False
        loaded = _context()
        loaded.load_cert_chain(self._chain, self._key, password=_refuse_encrypted)
        self._loaded, self._seen = loaded, seen
        return True

    def _select(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._loaded

    async def follow(self) -> NoReturn:
        """Load changed files, in a thread; until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                if await asyncio.to_thread(self.load):
                    log.info("certificate renewed", file=str(self._chain))
            except OSError as error:
                FAILURES.inc()
                log.error("certificate cannot be read, the last one stays", error=str(error))


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _version(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _refuse_encrypted() -> bytes:
    raise ssl.SSLError("the key is encrypted")  # otherwise OpenSSL prompts on the terminal

"""Key rings: the token keys of this process, read again when their folder changes."""

import asyncio
import time
from pathlib import Path

import structlog
from prometheus_client import Counter, Gauge

from relay_auth.token_keys import UNNAMED, BadKey, TokenKeys, keys_of, secret_key

LOOK_EVERY_S = 5.0
"""How old the keys may be when they are used: a file that is taken away is refused after this."""
LOOK_AT_MOST_S = 1.0
"""How soon an unknown kid makes us look again; those who invent kids must not cost more than that."""

KEYS = Gauge("relay_token_keys", "Keys viewer tokens may be signed with.")
FAILURES = Counter(
    "relay_token_keys_failures_total", "Times the folder of token keys could not be read; the last keys stay."
)

log = structlog.get_logger(__name__)

_Seen = tuple[tuple[str, int, int, int], ...]


class KeyRing:
    """The keys of one process: a secret without a kid, a folder of named keys, or both.

    Args:
        secret: The key of tokens without a kid; empty: there is none.
        folder: Holds a file per kid, as ``keys_of`` reads them; names that begin with a dot are passed over.
    """

    def __init__(self, secret: str = "", folder: Path | None = None) -> None:
        self._unnamed = secret_key(secret.encode()) if secret else None
        self._folder = folder
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._seen: _Seen = ()
        self._keys = self._with_unnamed(TokenKeys({}, None))

    async def keys(self, kid: str = UNNAMED) -> TokenKeys:
        """The keys that are valid now. Reads the folder, in a thread, when that is due. Safe to cancel.

        Args:
            kid: The one that is wanted: if it is not there, the folder is looked at sooner.
        """
        if self._folder is not None:
            async with self._looking:
                age_s = time.monotonic() - self._looked_at
                if age_s >= (LOOK_EVERY_S if kid in self._keys.by_kid else LOOK_AT_MOST_S):
                    await self._look(self._folder)
        return self._keys

    async def open(self) -> None:
        """Read the keys for the first time.

        Raises:
            BadKey: They cannot be read, or there are none.
        """
        if self._folder is not None:
            await self._read(self._folder)
        if not self._keys.by_kid:
            raise BadKey("there are no token keys")

    async def _look(self, folder: Path) -> None:
        try:
            await self._read(folder)
        except BadKey as error:
            FAILURES.inc()
            log.error("token keys cannot be read, the last ones stay", error=str(error))

    async def _read(self, folder: Path) -> None:
        self._looked_at = time.monotonic()
        try:
            seen = await asyncio.to_thread(_look_at, folder)
            if seen == self._seen:
                return
            files = await asyncio.to_thread(_contents, folder)
        except OSError as error:
            raise BadKey(f"{error.filename}: {error.strerror}") from None
        self._keys = self._with_unnamed(keys_of(files))
        self._seen = seen
        KEYS.set(len(self._keys.by_kid))
        log.info("token keys read", kids=sorted(self._keys.by_kid))

    def _with_unnamed(self, keys: TokenKeys) -> TokenKeys:
        if self._unnamed is None:
            return keys
        return TokenKeys({**keys.by_kid, UNNAMED: self._unnamed}, keys.current or self._unnamed)


def _files(folder: Path) -> list[Path]:
    # Kubernetes mounts a secret as links into a hidden folder that it replaces as a whole.
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and path.is_file()]


def _look_at(folder: Path) -> _Seen:
    stats = [(path.name, path.stat()) for path in _files(folder)]
    return tuple((name, stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in _files(folder)}

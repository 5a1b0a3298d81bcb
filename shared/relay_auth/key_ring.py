"""Key rings: the token keys of this process, read again when their folder changes.

A key is valid while its file exists and is a key. When the folder cannot be read at all, the last keys are
valid for ``STALE_S`` more: a leaked key must not stay valid after its file was removed.
"""

import asyncio
import time
from asyncio import Future
from pathlib import Path
from typing import NamedTuple, NoReturn

import structlog
from prometheus_client import Counter, Gauge

from relay_auth.token_keys import CURRENT, UNNAMED, BadKey, TokenKeys, is_key_file, keys_of, secret_key

REFRESH_S = 5.0
"""Greatest age of the keys in use: the key of a removed file is refused after this."""
UNKNOWN_KID_REFRESH_S = 1.0
"""The least age of the keys at which an unknown kid causes a read: invented kids must not cost more."""
READ_TIMEOUT_S = 2.0
"""How long a read is awaited; a file system may hang."""
STALE_S = 30.0
"""How long keys are valid while their folder cannot be read."""
_LARGEST_FILE_BYTES = 64 * 1024

KEYS = Gauge("relay_token_keys", "Keys viewer tokens may be signed with.")
UNUSABLE = Gauge("relay_token_keys_unusable", "Files among the token keys that should be keys and are none.")
FAILURES = Counter("relay_token_keys_failures_total", "Times the folder of token keys could not be read.")

log = structlog.get_logger(__name__)

_Seen = tuple[tuple[str, int, int, int], ...]
_NONE = TokenKeys({}, None)


class _Folder(NamedTuple):
    """The content of the folder at one read."""

    seen: _Seen | None
    """None when a file could not be read: it is tried again."""
    contents: dict[str, bytes]
    strays: list[str]


class KeyRing:
    """The keys of one process: a secret without a kid, a folder of named keys, or both.

    Args:
        secret: The key of tokens without a kid; empty: there is none.
        folder: Has a file per kid, as ``keys_of`` reads them; files with other names are skipped.
    """

    def __init__(self, secret: str = "", folder: Path | None = None) -> None:
        self._unnamed = secret_key(secret.encode()) if secret else None
        self._folder = folder
        self._refreshing = asyncio.Lock()
        self._refreshed_at = float("-inf")
        self._reading: Future[_Folder | None] | None = None
        """A read that has not ended."""
        self._failing_since: float | None = None
        self._seen: _Seen | None = None
        self._strays: list[str] = []
        self._keys = self._with_unnamed(_NONE)

    async def keys(self, kid: str = UNNAMED) -> TokenKeys:
        """The keys that are valid now. Reads the folder, in a thread, when that is due. Safe to cancel.

        Args:
            kid: The wanted key's: when it is unknown, the folder is read sooner.
        """
        if self._folder is not None:
            async with self._refreshing:
                age_s = time.monotonic() - self._refreshed_at
                if age_s >= (REFRESH_S if kid in self._keys.by_kid else UNKNOWN_KID_REFRESH_S):
                    await self._refresh(self._folder)
        return self._valid()

    async def open(self) -> None:
        """Read the keys for the first time.

        Raises:
            BadKey: They cannot be read, or there are none.
        """
        if self._folder is not None:
            self._refreshed_at = time.monotonic()
            try:
                self._apply(await asyncio.to_thread(_read, self._folder, None))
            except OSError as error:
                raise BadKey(f"{error.filename}: {error.strerror}") from None
        if not self._keys.by_kid:
            reasons = [f"{name}: {why}" for name, why in self._keys.unusable.items()]
            raise BadKey(", ".join(reasons) or "there are no token keys")

    async def follow(self) -> NoReturn:
        """Read the folder also while no key is used, for ``readiness`` and metrics; until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_S)
            await self.keys()

    def readiness(self) -> str:
        """Why no token can be accepted; empty when tokens can."""
        if self._valid().by_kid:
            return ""
        return "token keys cannot be read" if self._is_stale() else "there are no token keys"

    # --- the folder ------------------------------------------------------------------------------

    async def _refresh(self, folder: Path) -> None:
        if self._reading is None:
            self._refreshed_at = time.monotonic()
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(None, _read, folder, self._seen)
            await asyncio.wait([self._reading], timeout=READ_TIMEOUT_S)
        if not self._reading.done():
            self._fail("it takes too long")
            return
        reading, self._reading = self._reading, None
        try:
            self._apply(reading.result())
        except OSError as error:
            self._fail(f"{error.filename}: {error.strerror}")

    def _fail(self, why: str) -> None:
        FAILURES.inc()
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        valid = "none" if self._is_stale() else "the last ones"
        log.error("token keys cannot be read", error=why, valid=valid)

    def _apply(self, found: _Folder | None) -> None:
        self._failing_since = None
        if found is None:
            return
        self._keys = self._with_unnamed(keys_of(found.contents))
        self._seen = found.seen
        KEYS.set(len(self._keys.by_kid))
        UNUSABLE.set(len(self._keys.unusable))
        log.info("token keys read", kids=sorted(self._keys.by_kid))
        for name, why in self._keys.unusable.items():
            log.error("a token key cannot be used", file=name, error=why)
        if found.strays != self._strays:
            self._strays = found.strays
            log.warning("files in the folder of token keys that are no keys", files=found.strays)

    def _is_stale(self) -> bool:
        return self._failing_since is not None and time.monotonic() - self._failing_since >= STALE_S

    def _valid(self) -> TokenKeys:
        return self._with_unnamed(_NONE) if self._is_stale() else self._keys

    def _with_unnamed(self, keys: TokenKeys) -> TokenKeys:
        if self._unnamed is None:
            return keys
        return TokenKeys(
            {**keys.by_kid, UNNAMED: self._unnamed}, keys.current or self._unnamed, keys.unusable
        )


def _read(folder: Path, seen: _Seen | None) -> _Folder | None:
    """The folder's content now, None when it has not changed since ``seen``; empty when it is gone. Blocks.

    Raises:
        OSError: It cannot be read.
    """
    stats = {path: path.stat() for path in _files(folder)}
    now = tuple((path.name, stat.st_ino, stat.st_mtime_ns, stat.st_size) for path, stat in stats.items())
    if now == seen:
        return None
    contents, whole = dict[str, bytes](), True
    for path in stats:
        if is_key_file(path.name) or path.name == CURRENT:
            try:
                contents[path.name] = _read_file(path)
            except OSError:
                contents[path.name], whole = b"", False
    strays = [path.name for path in stats if path.name not in contents]
    return _Folder(now if whole else None, contents, strays)


def _files(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    # Kubernetes mounts a secret as links into a hidden folder that it replaces as a whole.
    return [path for path in paths if not path.name.startswith(".") and path.is_file()]


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST_FILE_BYTES)

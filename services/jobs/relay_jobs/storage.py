"""Storage: files in a local folder or in S3, through fsspec. Every call blocks: call it in a thread.

A file appears whole or not at all. ``create`` never replaces a file: of two workers that make the same one,
the second gets ``AlreadyStored``.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from glob import escape, has_magic
from pathlib import Path
from typing import IO, Any, NamedTuple

import fsspec

from relay_settings.base import reveal
from relay_settings.recordings import RecordingStorageSettings

_BLOCK_BYTES = 8 * 1024 * 1024
"""Of a multipart upload: with S3's limit of 10,000 blocks, files of up to 80 GB."""
_READ_BYTES = 1024 * 1024
_REMOVED_AT_ONCE = 500
_TIMEOUTS_S = {"connect_timeout": 10, "read_timeout": 60}
TEMPORARY = ".writing-"
"""What the names of local files begin with until they are whole; eight hexadecimal digits are behind them."""


class AlreadyStored(Exception):
    """Raised when there is a file of this name."""


class StoredFile(NamedTuple):
    """A file that is stored."""

    name: str
    size_bytes: int
    modified_s: float
    """When it was stored, in seconds since the epoch."""


class Storage:
    """A folder of files.

    Args:
        filesystem: Of fsspec: ``file`` or ``s3``.
        root: The folder, as this file system names it.
    """

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self._is_local = "file" in filesystem.protocol

    @classmethod
    def at(
        cls, url: str, *, endpoint: str = "", region: str = "", key_id: str = "", secret: str = ""
    ) -> "Storage":
        """Open a folder.

        Args:
            url: A folder, or ``s3://bucket/prefix``.
            endpoint: Of a server that is compatible with S3; empty: Amazon's.
            region: Of the bucket; empty: as boto finds it.
            key_id: Of the access key; empty: as boto finds one.
            secret: Of the access key.

        Raises:
            ImportError: s3fs is missing: install ``avatar-relay[jobs-s3]``.
        """
        if not url.startswith("s3://"):
            return cls(fsspec.filesystem("file"), url.removeprefix("file://"))
        client = {"endpoint_url": endpoint, "region_name": region}
        filesystem = fsspec.filesystem(
            "s3",
            key=key_id or None,
            secret=secret or None,
            client_kwargs={name: value for name, value in client.items() if value},
            config_kwargs=_TIMEOUTS_S,
            use_listings_cache=False,
            fixed_upload_size=True,  # some servers require blocks of one size
            default_block_size=_BLOCK_BYTES,
        )
        return cls(filesystem, url.removeprefix("s3://"))

    @classmethod
    def of(cls, settings: RecordingStorageSettings) -> "Storage":
        """Open the folder of ``RELAY_RECORDINGS_URL``, which must not be empty.

        Raises:
            ImportError: As of ``at``.
        """
        return cls.at(
            settings.recordings_url,
            endpoint=settings.recordings_s3_endpoint,
            region=settings.recordings_s3_region,
            key_id=settings.recordings_s3_key_id,
            secret=reveal(settings.recordings_s3_secret),
        )

    def put(self, name: str, data: bytes) -> None:
        """Store a small file, in place of one of the same name."""
        path = self._path(name)
        if not self._is_local:
            self._filesystem.pipe_file(path, data)
            return
        with self._temporary(path) as (temporary, file):
            file.write(data)
            _sync(file)
            Path(temporary).replace(path)

    @contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write, which is stored when the block ends, unless it ends with an exception.

        Its bytes leave as they are written: only a block of them is in memory.

        Raises:
            AlreadyStored: There is a file of this name; what was written is discarded.
        """
        path = self._path(name)
        if self._is_local:
            with self._temporary(path) as (temporary, file):
                yield file
                _sync(file)
                _link(temporary, path)
            return
        file = self._filesystem.open(path, "xb", block_size=_BLOCK_BYTES, autocommit=False)
        with ExitStack() as undo:
            undo.callback(self._discard, file)
            try:
                yield file
                file.close()
                file.commit()
            except FileExistsError:
                raise AlreadyStored(name) from None
            undo.pop_all()

    def read(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, in pieces.

        Raises:
            FileNotFoundError: There is none.
        """
        with self._filesystem.open(
            self._path(name), "rb", block_size=_BLOCK_BYTES, cache_type="readahead"
        ) as file:
            while data := file.read(_READ_BYTES):
                yield data

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return bool(self._filesystem.isfile(self._path(name)))

    def files(self, folder: str = "") -> list[StoredFile]:
        """All files of a folder and of those in it, in order; none when there is no such folder."""
        try:
            found = self._filesystem.find(self._path(folder), detail=True)
        except FileNotFoundError:
            return []
        files = [
            StoredFile(str(path).removeprefix(self._root).lstrip("/"), int(info["size"]), _modified_s(info))
            for path, info in found.items()
        ]
        return sorted(file for file in files if file.name)

    def folders(self) -> list[str]:
        """The names of the folders in this one."""
        try:
            found = self._filesystem.ls(self._root, detail=True)
        except FileNotFoundError:
            return []
        return sorted(
            info["name"].rstrip("/").rpartition("/")[2] for info in found if info["type"] == "directory"
        )

    def remove(self, names: Iterable[str]) -> int:
        """Remove files; one that is gone counts, too. Local folders that become empty go with them.

        Raises:
            ValueError: A name has characters that are a pattern for the file system.
        """
        removed = list(names)
        for name in removed:
            if has_magic(name):
                raise ValueError(f"{name!r} is a pattern")
        if not self._is_local:
            for at in range(0, len(removed), _REMOVED_AT_ONCE):
                self._filesystem.rm([self._path(name) for name in removed[at : at + _REMOVED_AT_ONCE]])
            return len(removed)
        for name in removed:
            Path(self._path(name)).unlink(missing_ok=True)
            self._prune(name)
        return len(removed)

    def unfinished(self, name: str) -> list[str]:
        """The local files that workers which were killed have left of a file of this name."""
        if not self._is_local:
            return []
        folder, _, file = name.rpartition("/")
        found = Path(self._path(folder)).glob(f"{TEMPORARY}{escape(file)}.*")
        return sorted(f"{folder}/{path.name}" if folder else path.name for path in found)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextmanager
    def _temporary(self, path: str) -> Iterator[tuple[str, IO[bytes]]]:
        folder, _, name = path.rpartition("/")
        Path(folder).mkdir(parents=True, exist_ok=True)
        temporary = f"{folder}/{TEMPORARY}{name}.{secrets.token_hex(4)}"
        try:
            with Path(temporary).open("xb") as file:
                yield temporary, file
        finally:
            Path(temporary).unlink(missing_ok=True)

    def _prune(self, name: str) -> None:
        """Remove the local folders that have become empty, up to this one."""
        folder = name.rpartition("/")[0]
        while self._is_local and folder:
            try:
                Path(self._path(folder)).rmdir()
            except OSError:
                return
            folder = folder.rpartition("/")[0]

    @staticmethod
    def _discard(file: Any) -> None:
        with suppress(Exception):  # the first failure is the one to report
            file.discard()
        file.closed = True


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _link(temporary: str, path: str) -> None:
    """Give a file its name, unless another has it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise AlreadyStored(path) from None
    except OSError:  # this file system has no hard links
        if Path(path).exists():
            raise AlreadyStored(path) from None
        Path(temporary).replace(path)


def _modified_s(info: dict[str, Any]) -> float:
    found: Any = info.get("LastModified", info.get("mtime"))
    return found.timestamp() if isinstance(found, datetime) else float(found)

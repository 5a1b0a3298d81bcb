"""Storage: whole files or none, in a local folder and in S3."""

import os
import time
from pathlib import Path

import pytest
from tests.rigs import object_storage
from tests.rigs.object_storage import Place

from relay_jobs.storage import AlreadyStored, Storage

MEGABYTE = 1024 * 1024


def read(storage: Storage, name: str) -> bytes:
    return b"".join(storage.read(name))


def create(storage: Storage, name: str, *pieces: bytes) -> None:
    with storage.create(name) as file:
        for piece in pieces:
            file.write(piece)


@pytest.mark.parametrize("size", [0, 1, 9 * MEGABYTE, 17 * MEGABYTE])
def test_a_created_file_is_read(place: Place, size: int) -> None:
    """Of any size: beyond a block it is uploaded in parts."""
    data = os.urandom(size)

    create(
        place.storage, "2025-11-26/a.avrec", *[data[at : at + MEGABYTE] for at in range(0, size, MEGABYTE)]
    )

    assert read(place.storage, "2025-11-26/a.avrec") == data
    assert [(file.name, file.size_bytes) for file in place.storage.files()] == [("2025-11-26/a.avrec", size)]


@pytest.mark.parametrize("size", [10, 9 * MEGABYTE])
def test_a_file_is_created_once(place: Place, size: int) -> None:
    """The second of two workers is refused, and the first one's bytes stay."""
    storage = place.storage
    with pytest.raises(AlreadyStored), storage.create("d/a.avrec") as second:
        second.write(b"2" * size)
        create(place.storage, "d/a.avrec", b"1" * size)

    assert read(storage, "d/a.avrec") == b"1" * size
    assert len(storage.files()) == 1


@pytest.mark.parametrize("size", [10, 17 * MEGABYTE])
def test_a_failure_leaves_no_file(place: Place, size: int) -> None:
    """Whatever was written before it."""
    storage = place.storage
    with pytest.raises(RuntimeError, match="planned"), storage.create("d/a.avrec") as file:
        file.write(b"x" * size)
        raise RuntimeError("planned")

    assert not storage.exists("d/a.avrec")
    assert storage.files() == []


def test_a_part_is_replaced(place: Place) -> None:
    """The last one that was put is read."""
    storage = place.storage
    storage.put("d/a.parts/1-1_1-2", b"one")
    storage.put("d/a.parts/1-1_1-2", b"other")

    assert read(storage, "d/a.parts/1-1_1-2") == b"other"
    assert storage.exists("d/a.parts/1-1_1-2")
    assert not storage.exists("d/a.parts")


def test_what_is_there(place: Place) -> None:
    """Files with the time they were stored, by folder; nothing where there is nothing."""
    storage, before = place.storage, time.time()
    assert (storage.files(), storage.files("d"), storage.folders()) == ([], [], [])

    storage.put("2025-11-26/b.wav", b"12")
    storage.put("2025-11-27/a.parts/1-1_1-1", b"1")

    assert storage.folders() == ["2025-11-26", "2025-11-27"]
    assert [file.name for file in storage.files("2025-11-27")] == ["2025-11-27/a.parts/1-1_1-1"]
    assert [file.name for file in storage.files()] == ["2025-11-26/b.wav", "2025-11-27/a.parts/1-1_1-1"]
    assert all(abs(file.modified_s - before) < 60 for file in storage.files())


def test_removing(place: Place) -> None:
    """A file that is gone is removed, and empty local folders go with their last file."""
    storage = place.storage
    storage.put("2025-11-26/a.parts/1-1_1-1", b"1")
    storage.put("2025-11-26/a.avrec", b"1")

    assert storage.remove(["2025-11-26/a.parts/1-1_1-1", "2025-11-26/a.parts/1-2_1-2"]) == 2

    assert [file.name for file in storage.files()] == ["2025-11-26/a.avrec"]
    storage.remove(["2025-11-26/a.avrec"])
    assert storage.folders() == []


def test_a_pattern_removes_nothing(place: Place) -> None:
    """Names are names."""
    place.storage.put("d/a.wav", b"1")
    with pytest.raises(ValueError, match="pattern"):
        place.storage.remove(["d/*.wav"])
    assert place.storage.exists("d/a.wav")


def test_reading_what_is_not_there(place: Place) -> None:
    """The error is that of a missing file."""
    with pytest.raises(FileNotFoundError):
        read(place.storage, "d/none")


def test_what_a_killed_worker_left(tmp_path: Path) -> None:
    """A local file that was never finished has another name, by which it is found."""
    storage = object_storage.folder(tmp_path).storage
    with storage.create("d/a[1].avrec") as file:
        file.write(b"1")
        unfinished = [found.name for found in storage.files()]
        assert len(unfinished) == 1
        assert storage.unfinished("d/a[1].avrec") == unfinished
        assert storage.unfinished("d/a1.avrec") == []

    assert [found.name for found in storage.files()] == ["d/a[1].avrec"]
    assert storage.unfinished("d/a[1].avrec") == []


def test_a_bucket_has_no_unfinished_files(s3: Place) -> None:
    """An upload that was never finished is no object: a rule of the bucket removes it."""
    assert s3.storage.unfinished("d/a.avrec") == []


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is created once there, too."""

    def link(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    storage = object_storage.folder(tmp_path).storage
    create(storage, "d/a.avrec", b"1")

    with pytest.raises(AlreadyStored):
        create(storage, "d/a.avrec", b"2")
    assert read(storage, "d/a.avrec") == b"1"


def test_a_server_that_is_away(tmp_path: Path) -> None:
    """The failure is raised, and names no secret."""
    place = Place("s3://bucket/x", "http://127.0.0.1:9")
    with pytest.raises(Exception, match=r"127\.0\.0\.1:9") as failed:
        place.storage.put("a", b"1")
    assert object_storage.SECRET not in str(failed.value)

"""Expiry: which files are past their days."""

import time

from relay_jobs.recordings.expiry import expired

DAY_S = 86_400


def test_what_is_past_its_days(place) -> None:
    """Files of the relay's own names alone, by the time they were stored."""
    storage = place.storage
    for name in ("2020-01-01/a.avrec", "2020-01-01/a.wav", "2020-01-02/b.parts/1-1_1-2"):
        storage.put(name, b"1")
    for name in ("2020-01-01/notes.txt", "backup/a.avrec", "readme.wav", "2020-01-01/x/a.avrec"):
        storage.put(name, b"not the relay's")

    assert list(expired(storage, 1, time.time())) == []
    found = dict(expired(storage, 1, time.time() + 1.1 * DAY_S))

    assert sorted(found) == ["2020-01-01/a.avrec", "2020-01-01/a.wav", "2020-01-02/b.parts/1-1_1-2"]
    assert {(owned.conversation, owned.is_part) for owned in found.values()} == {("a", False), ("b", True)}


def test_folders_that_are_too_young_are_not_read(place) -> None:
    """A conversation that is created today cannot be past a day."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    place.storage.put(f"{today}/a.avrec", b"1")

    assert list(expired(place.storage, 1, time.time())) == []
    assert [name for name, _ in expired(place.storage, 1, time.time() + 2.1 * DAY_S)] == [f"{today}/a.avrec"]


def test_nothing_is_there(place) -> None:
    """A storage that was never written to."""
    assert list(expired(place.storage, 1, time.time())) == []

"""The layout of recordings: names, and which files are the relay's."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_jobs.recordings.layout import Names, Owned, in_order, is_older, owned
from relay_wire.position import Position

CREATED_MS = 1_764_115_200_000  # 2025-11-26T00:00:00Z


def test_names() -> None:
    """By the date of the conversation, in UTC."""
    names = Names.of("01J", CREATED_MS - 1)

    assert (names.recording, names.speech) == ("2025-11-25/01J.avrec", "2025-11-25/01J.wav")
    assert names.part(Position(5, 1), Position(5, 9)) == "2025-11-25/01J.parts/5-1_5-9"


@given(st.text(min_size=1, max_size=20, alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_every_name_is_the_relays(conversation: str) -> None:
    """Whatever the conversation is named: one folder deep, and read back as it was."""
    names = Names.of(conversation, CREATED_MS)
    part = names.part(Position(5, 1), Position(6, 9))

    assert owned(names.recording) == owned(names.speech) == Owned(date(2025, 11, 26), conversation, False)
    assert owned(part) == Owned(date(2025, 11, 26), conversation, True)
    assert names.recording.count("/") == 1


@pytest.mark.parametrize(
    "name",
    [
        "readme.txt", "2025-11-26/notes.wav.txt", "2025-11-26/a/b.wav", "2025-13-26/a.wav",
        "a/2025-11-26/a.wav", "2025-11-26/a.parts/notes", "2025-11-26/.wav", "2025-11-26/a*.wav",
        "2025-11-26/.writing-a.avrec.12ab",
        "2025-11-26/.writing-a.txt.12ab34cd",
    ],
)  # fmt: skip
def test_files_of_others(name: str) -> None:
    """They have other names."""
    assert owned(name) is None


@pytest.mark.parametrize(
    "name", ["2025-11-26/.writing-a.avrec.12ab34cd", "2025-11-26/a.parts/.writing-5-1_5-2.12ab34cd"]
)
def test_unfinished_files_are_the_relays(name: str) -> None:
    """A worker that was killed while it wrote has left them."""
    found = owned(name)

    assert found is not None
    assert (found.conversation, found.is_unfinished) == ("a", True)


def test_parts_are_in_the_order_of_their_frames() -> None:
    """Not in that of their letters."""
    names = Names("d/c")
    frames = [((5, 1), (5, 9)), ((5, 10), (6, 2)), ((10, 1), (10, 2))]
    parts = [names.part(Position(*first), Position(*last)) for first, last in frames]

    assert in_order(sorted(parts)) == parts


def test_folders_by_age() -> None:
    """A folder of another name is none of the relay's."""
    assert is_older("2025-11-25", date(2025, 11, 26))
    assert not is_older("2025-11-26", date(2025, 11, 26))
    assert not is_older("backup", date(2025, 11, 26))

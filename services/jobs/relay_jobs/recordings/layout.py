"""Layout: the names of recordings in storage. Pure.

``<date>/<conversation>.avrec`` and ``<date>/<conversation>.wav`` are the files of a finished recording, by
the UTC date on which its conversation was created; ``<date>/<conversation>.parts/<first>_<last>`` are the
parts of one that is not finished, by the positions of their first and last frames.
"""

import re
from datetime import UTC, date, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote

from relay_jobs.storage import TEMPORARY
from relay_wire.position import Position

_FILE = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)/(?P<name>[A-Za-z0-9_.~%-]+?)(?:\.(?:avrec|wav)|\.parts/(?P<part>\d+-\d+_\d+-\d+))"
)
_TEMPORARY = re.compile(r"(?P<folder>.*/)" + re.escape(TEMPORARY) + r"(?P<name>[^/]+)\.[0-9a-f]{8}")


class Names(NamedTuple):
    """The names of one recording."""

    folder: str
    """What all of them begin with."""

    @classmethod
    def of(cls, conversation: str, created_ms: int) -> "Names":
        """The names of a conversation's recording."""
        created = datetime.fromtimestamp(created_ms / 1000, UTC)
        return cls(f"{created:%Y-%m-%d}/{quote(conversation, safe='')}")

    @property
    def recording(self) -> str:
        """The recording."""
        return f"{self.folder}.avrec"

    @property
    def speech(self) -> str:
        """The WAV file."""
        return f"{self.folder}.wav"

    @property
    def parts(self) -> str:
        """The folder of the parts."""
        return f"{self.folder}.parts"

    def part(self, first: Position, last: Position) -> str:
        """One part. The same frames have the same name: writing it again changes nothing."""
        return f"{self.parts}/{first}_{last}"


class Owned(NamedTuple):
    """A file of the relay's."""

    date: date
    conversation: str
    is_part: bool
    is_unfinished: bool = False
    """Whether a worker was killed while it wrote the file, or writes it now."""


def owned(name: str) -> Owned | None:
    """What a file is of; None for one that is not the relay's."""
    temporary = _TEMPORARY.fullmatch(name)
    found = _FILE.fullmatch(temporary["folder"] + temporary["name"] if temporary else name)
    day = _date(found["date"]) if found else None
    if found is None or day is None:
        return None
    return Owned(day, unquote(found["name"]), found["part"] is not None, temporary is not None)


def is_older(folder: str, day: date) -> bool:
    """Whether a folder has recordings of conversations that were created before a day."""
    found = _date(folder)
    return found is not None and found < day


def in_order(parts: list[str]) -> list[str]:
    """The names of parts, by the positions of their frames."""
    return sorted(parts, key=_positions)


def _positions(name: str) -> tuple[Position, Position]:
    first, _, last = name.rpartition("/")[2].partition("_")
    return Position.parse(first), Position.parse(last)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None

"""Positions: the place of a frame in its conversation, which is also its Redis stream entry id."""

from typing import NamedTuple, Self

MAX_GENERATION = 2**64 - 1
MAX_SEQ = 2**32 - 1


class PositionError(ValueError):
    """Raised when a text is not a position."""


class Position(NamedTuple):
    """One frame's place: the owner's generation, and the frame's number within it.

    Positions of one conversation are totally ordered as tuples. Within a generation ``seq`` runs
    1, 2, 3... without holes, so every reader detects a lost frame by the hole.
    """

    generation: int
    """The owner's generation: milliseconds since the epoch at the claim (u64)."""
    seq: int
    """The frame's number within the generation, from 1 (u32)."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``<generation>-<seq>``, as ``str()`` writes it.

        Raises:
            PositionError: The text has another form, or a number is out of its range.
        """
        generation, dash, seq = text.partition("-")
        if not (dash and _is_number(generation) and _is_number(seq)):
            raise PositionError(f"{text[:64]!r} is not a position: expected <generation>-<seq>")
        position = cls(int(generation), int(seq))
        if position.generation > MAX_GENERATION or position.seq > MAX_SEQ:
            raise PositionError(f"{text[:64]!r} is not a position: a number is out of range")
        return position

    def __str__(self) -> str:
        return f"{self.generation}-{self.seq}"

    @property
    def before(self) -> "Position":
        """The cursor whose next frame is the one at this position."""
        return Position(self.generation, self.seq - 1)


def _is_number(text: str) -> bool:
    # int() also accepts signs, spaces, underscores and other scripts' digits.
    return text.isascii() and text.isdigit() and len(text) <= 20


START = Position(0, 0)
"""The cursor before the first frame of any conversation."""

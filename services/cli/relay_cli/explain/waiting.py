"""Waiting entries: what the uplink of a conversation holds that its owner has not processed."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from relay_wire.uplink import Entry, SpeechChunk


class UplinkEntry(NamedTuple):
    """One entry of the uplink."""

    id: str
    """Milliseconds since the epoch, and a number."""
    entry: Entry

    @property
    def at_s(self) -> float:
        """The wall time at which it was stored."""
        return int(self.id.partition("-")[0]) / 1000

    def is_after(self, cursor: str) -> bool:
        """Whether it is behind this id."""
        return _order(self.id) > _order(cursor)


def waiting(entries: Sequence[UplinkEntry], cursor: str, now_s: float) -> str:
    """Describe the entries behind the owner's cursor; empty when there is none.

    Args:
        entries: The uplink, in its order.
        cursor: The id of the last entry that an owner has processed.
        now_s: The wall time.
    """
    left = [each for each in entries if each.is_after(cursor)]
    if not left:
        return ""
    kinds = Counter(each.entry.kind for each in left)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    age_s = max(0.0, now_s - left[0].at_s)
    speech = [each.entry for each in left if isinstance(each.entry, SpeechChunk)]
    turns = sorted({chunk.turn for chunk in speech})
    size_bytes = sum(chunk.size_bytes for chunk in speech)
    of_turns = f"; {size_bytes} bytes of speech of turn {', '.join(map(str, turns))}" if turns else ""
    return f"{len(left)} entries ({counted}), the oldest for {age_s:.1f} s{of_turns}"


def speech_stored_at(entries: Sequence[UplinkEntry], turn: int) -> float | None:
    """When the first speech of a turn was stored, if its first entry is still there."""
    for each in entries:
        if isinstance(each.entry, SpeechChunk) and each.entry.turn == turn:
            return each.at_s if each.entry.offset == 0 else None
    return None


def traceparent(entries: Sequence[UplinkEntry], turn: int) -> str:
    """The trace context of a turn's input, if an entry with it is still there."""
    found = (
        each.entry for each in entries if isinstance(each.entry, SpeechChunk) and each.entry.turn == turn
    )
    return next((chunk.traceparent for chunk in found if chunk.traceparent), "")


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)

"""The verifier: compares what was published with what each viewer received, raw and in order of arrival.

It shares no code with the relay. It reads the 32-byte header by itself, and knows three things of the
protocol: the order of positions, that ``owner_changed`` names the frame before it, and what ``hello``
and ``gap`` have. A viewer's record is made before any client code drops or repairs a frame.
"""

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_HEADER = struct.Struct(">BBBBIQIIQ")
_EVENT = 3
NOWHERE = (0, 0)

Position = tuple[int, int]
"""Generation and seq."""


class Sighting(NamedTuple):
    """A frame as it came, in order of arrival."""

    at: float
    """When, in seconds since the epoch."""
    position: Position
    """Seq 0 is the gateway's own: ``hello``, ``gap`` and the like."""
    digest: bytes
    """Of the whole frame, header included."""
    event: dict[str, Any] | None = None
    """Its decoded payload, when it is an event."""
    turn: int = 0


class Publication(NamedTuple):
    """A frame as the store had it."""

    digest: bytes
    at: float
    """When it was published, in seconds since the epoch."""


def sight(data: bytes, at: float) -> Sighting:
    """Read a frame's header; ``at`` is when it came."""
    _, kind, _, _, turn, generation, seq, _, _ = _HEADER.unpack_from(data)
    event = json.loads(data[_HEADER.size :]) if kind == _EVENT else None
    return Sighting(at, (generation, seq), digest_of(data), event, turn)


def digest_of(data: bytes) -> bytes:
    """What two frames are compared by."""
    return hashlib.blake2b(data, digest_size=16).digest()


def position(text: str) -> Position:
    """Read ``<generation>-<seq>``."""
    generation, _, seq = text.partition("-")
    return int(generation), int(seq)


@dataclass
class ViewerVerdict:
    """What one viewer's record shows."""

    checked: int = 0
    """Frames that came and were compared, duplicates included."""
    lost: list[Position] = field(default_factory=list)
    """Frames that were due, never arrived, and no ``gap`` reported."""
    duplicated: int = 0
    reordered: int = 0
    """Frames that came after a later one."""
    altered: int = 0
    """Frames with other bytes than were published."""
    unpublished: int = 0
    """Frames that were never published."""
    holes: int = 0
    """Places where a frame did not follow the one before, and no ``gap`` reported it."""
    gaps: int = 0
    recovery_ms: float | None = None
    """From the fault to the arrival of the first frame published after it."""

    @property
    def whole(self) -> bool:
        """Whether the guarantee was kept. A ``gap`` is not a breach: it reports the loss."""
        breaches = self.duplicated + self.reordered + self.altered + self.unpublished + self.holes
        return not self.lost and not breaches


@dataclass
class Verdict:
    """What the records of all viewers show."""

    viewers: dict[str, ViewerVerdict] = field(default_factory=dict)
    recovers: set[str] = field(default_factory=set)
    """The viewers that the fault concerned."""
    measured_ms: list[float] = field(default_factory=list)
    """Recoveries measured otherwise, for a fault that strikes again and again; they count instead."""

    def total(self, what: str) -> int:
        """A count over all viewers, by its name in ``ViewerVerdict``."""
        values = (getattr(viewer, what) for viewer in self.viewers.values())
        return sum(len(value) if isinstance(value, list) else value for value in values)

    @property
    def whole(self) -> bool:
        """Whether the guarantee was kept for everyone, and somebody was there to see it."""
        return bool(self.total("checked")) and all(viewer.whole for viewer in self.viewers.values())

    @property
    def unrecovered(self) -> list[str]:
        """Viewers that the fault concerned and that got nothing published after it."""
        return sorted(name for name in self.recovers if self.viewers[name].recovery_ms is None)

    def recovery_ms(self, share: float) -> float | None:
        """A percentile over the viewers that the fault concerned; None when there are none."""
        known = (self.viewers[name].recovery_ms for name in self.recovers)
        return percentile(self.measured_ms or (value for value in known if value is not None), share)

    def merge(self, other: "Verdict") -> None:
        """Take in the verdict on another conversation."""
        self.viewers |= other.viewers
        self.recovers |= other.recovers

    def to_json(self) -> dict[str, Any]:
        """The counts, ready for JSON."""
        names = ["lost", "duplicated", "reordered", "altered", "unpublished", "holes", "gaps"]
        return {
            "frames": self.total("checked"),
            **{name: self.total(name) for name in names},
            "unrecovered": self.unrecovered,
            "recovery_ms": {"p50": self.recovery_ms(0.5), "p99": self.recovery_ms(0.99)},
        }


def verify(
    published: Mapping[Position, Publication],
    viewers: Mapping[str, Sequence[Sighting]],
    *,
    mark: float | None = None,
) -> Verdict:
    """Compare one conversation's records.

    Args:
        published: Every frame the store had.
        viewers: By viewer, everything that arrived on any of its sockets.
        mark: When the fault struck, or ended if it was an outage; None when it did not concern
            this conversation.
    """
    verdict = Verdict()
    for name, sightings in viewers.items():
        verdict.viewers[name] = _verify_viewer(published, sightings, mark)
    if mark is not None:
        verdict.recovers = set(viewers)
    return verdict


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that this share of the values does not exceed; None without values."""
    ordered = sorted(values)
    return round(ordered[max(math.ceil(share * len(ordered)) - 1, 0)], 1) if ordered else None


def _verify_viewer(
    published: Mapping[Position, Publication], sightings: Sequence[Sighting], mark: float | None
) -> ViewerVerdict:
    result = ViewerVerdict()
    seen: set[Position] = set()
    reported: list[tuple[Position, Position]] = []
    first: Position | None = None
    cursor = NOWHERE
    for sighting in sightings:
        if sighting.position[1] == 0:
            event = sighting.event or {}
            if event.get("type") == "hello" and first is None:
                first = cursor = position(event["position"])
            elif event.get("type") == "gap":
                result.gaps += 1
                gone = position(event["from"]), position(event["to"])
                reported.append(gone)
                # A gap that begins after our last frame leaves out what lies between.
                result.holes += gone[0] > cursor
                cursor = max(cursor, gone[1])
            continue
        if first is None:
            first = cursor = (sighting.position[0], sighting.position[1] - 1)
        result.checked += 1
        _compare(result, published.get(sighting.position), sighting, mark)
        if sighting.position in seen:
            result.duplicated += 1
        elif sighting.position <= cursor:
            result.reordered += 1
        elif not _follows(cursor, sighting):
            result.holes += 1
        seen.add(sighting.position)
        cursor = max(cursor, sighting.position)
    due = (at for at in published if at > (first or NOWHERE) and at not in seen)
    result.lost = sorted(at for at in due if not any(begin < at <= end for begin, end in reported))
    return result


def _compare(
    result: ViewerVerdict, publication: Publication | None, sighting: Sighting, mark: float | None
) -> None:
    if publication is None:
        result.unpublished += 1
        return
    result.altered += publication.digest != sighting.digest
    if mark is not None and result.recovery_ms is None and publication.at > mark:
        result.recovery_ms = (sighting.at - mark) * 1000


def _follows(cursor: Position, sighting: Sighting) -> bool:
    generation, seq = sighting.position
    if generation == cursor[0]:
        return seq == cursor[1] + 1
    event = sighting.event or {}
    return seq == 1 and event.get("type") == "owner_changed" and position(event["after"]) == cursor

"""The encoder of recording files: frames in, the bytes of the file out, with bounded memory.

The same frames give the same bytes. The memory that it needs grows with the number of turns and of gaps only:
the index by time becomes coarser as a recording becomes longer.
"""

import hashlib
from contextlib import suppress

from relay_wire import events
from relay_wire.frame import Kind
from relay_wire.frame import decode as decode_frame
from relay_wire.position import START, Position, PositionError
from relay_wire.recording import contents
from relay_wire.recording.blocks import BlockType, block, head, preamble
from relay_wire.recording.contents import Gap, Header, Index, TimeEntry, TurnEntry

_TRAILER_BYTES = 8 + 32
_MOST_TIMES = 4096
_FIRST_INTERVAL_MS = 1000


class RecordingEncoder:
    """Encodes one recording: ``begin``, ``add`` for each frame, ``finish``. Each returns the next bytes.

    Args:
        header: The conversation.
    """

    def __init__(self, header: Header) -> None:
        self.last = START
        """The position of the last frame that was added."""
        self.gaps: list[Gap] = []
        """The gaps so far."""
        self.audio_bytes = 0
        """Bytes of audio payloads so far."""
        self._header = header
        self._sha256 = hashlib.sha256()
        self._offset = 0
        self._frames = self._frame_bytes = self._motion_bytes = 0
        self._first_us: int | None = None
        self._at_ms = 0
        self._turns: dict[int, TurnEntry] = {}
        self._times = _Times()

    def begin(self) -> bytes:
        """The first bytes of the file."""
        return self._write(preamble() + block(BlockType.HEADER, contents.encode(self._header)))

    def add(self, data: bytes) -> bytes:
        """Add a frame. Those missing before it become a gap; one that was added before gives no bytes.

        Raises:
            FrameError: The bytes are not a frame.
        """
        frame = decode_frame(data)
        position = frame.position
        if position <= self.last:
            return b""
        event = events.of_frame(data)
        written = b""
        if not events.follows(self.last, position, event):
            written = self._gap(_last_before(position, event))
        if self._first_us is None:
            self._first_us = frame.published_at_us
        # Clocks of owners differ: time in a recording does not run backwards.
        self._at_ms = max(self._at_ms, (frame.published_at_us - self._first_us) // 1000)
        size = len(frame.payload)
        self._frames += 1
        self._frame_bytes += len(data)
        self._times.add(self._at_ms, position, self._offset)
        if frame.turn:
            self._count(self._turn(frame.turn, position), frame.kind, size)
            if isinstance(event, events.TurnEnded):
                self._turns[frame.turn].outcome = event.outcome
        self.audio_bytes += size if frame.kind is Kind.AUDIO else 0
        self._motion_bytes += size if frame.kind is Kind.MOTION else 0
        self.last = position
        return written + self._write(block(BlockType.FRAME, data))

    def finish(self, last: Position = START) -> bytes:
        """The last bytes of the file.

        Args:
            last: The position of the conversation's last frame: when it was not added, the end is a gap.
        """
        written = self._gap(last)
        index_at = self._offset
        index = Index(
            frames=self._frames,
            frame_bytes=self._frame_bytes,
            audio_bytes=self.audio_bytes,
            motion_bytes=self._motion_bytes,
            duration_ms=self._at_ms,
            last=str(self.last),
            turns=[self._turns[turn] for turn in sorted(self._turns)],
            times=self._times.entries,
            gaps=self.gaps,
        )
        written += self._write(block(BlockType.INDEX, contents.encode(index)))
        written += self._write(head(BlockType.TRAILER, _TRAILER_BYTES) + index_at.to_bytes(8, "big"))
        return written + self._sha256.digest()

    def _gap(self, to: Position) -> bytes:
        if to <= self.last:
            return b""  # Redis lost these frames later, and a new owner continued before them.
        gap = Gap(str(self.last), str(to), self._offset, self._at_ms)
        self.gaps.append(gap)
        return self._write(block(BlockType.GAP, contents.encode(Gap(gap.after, gap.to))))

    def _turn(self, turn: int, position: Position) -> TurnEntry:
        found = self._turns.get(turn)
        if found is None:
            found = self._turns[turn] = TurnEntry(turn, str(position), self._offset, self._at_ms)
        return found

    @staticmethod
    def _count(entry: TurnEntry, kind: Kind, size: int) -> None:
        entry.frames += 1
        entry.audio_bytes += size if kind is Kind.AUDIO else 0
        entry.motion_bytes += size if kind is Kind.MOTION else 0

    def _write(self, data: bytes) -> bytes:
        self._sha256.update(data)
        self._offset += len(data)
        return data


def _last_before(position: Position, event: events.Event | events.Unknown | None) -> Position:
    """The position of the last frame before one that does not follow, as far as it is known."""
    if isinstance(event, events.OwnerChanged):
        with suppress(PositionError):
            return Position.parse(event.after)
    return position.before


class _Times:
    """The index by time: one entry for each interval that has frames, with a limit on entries."""

    def __init__(self) -> None:
        self.entries: list[TimeEntry] = []
        self._interval_ms = _FIRST_INTERVAL_MS

    def add(self, at_ms: int, position: Position, offset: int) -> None:
        if self.entries and at_ms // self._interval_ms == self.entries[-1].at_ms // self._interval_ms:
            return
        self.entries.append(TimeEntry(at_ms, str(position), offset))
        if len(self.entries) > _MOST_TIMES:
            self._thin()

    def _thin(self) -> None:
        self._interval_ms *= 2
        first_of = {entry.at_ms // self._interval_ms: entry for entry in reversed(self.entries)}
        self.entries = list(reversed(first_of.values()))

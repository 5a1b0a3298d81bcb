"""A model of the stream, and a viewer that checks each message against it. Invariants of the fan-out."""

import random
from collections.abc import Sequence

from relay_gateway.dialects.native import Native
from relay_gateway.fanout.entries import Entry, EntryDecoder
from relay_gateway.fanout.page import ReplayPage, restart, unbroken
from relay_gateway.fanout.subscriber import Subscriber
from relay_wire import events, frame
from relay_wire.close_codes import CONVERSATION_ENDED, CloseCode
from relay_wire.frame import Codec, Flags, Frame, Kind
from relay_wire.position import START, Position

BUFFER_BYTES = 600
PAGE_FRAMES = 4


class Away(Exception):
    """Raised when Redis cannot serve a read now."""


class Store:
    """The down stream and the record of a conversation, as the gateway sees them."""

    def __init__(self) -> None:
        self.published: dict[Position, bytes] = {}
        """Frames of all owners, with those that the stream has removed."""
        self.stream: list[tuple[Position, bytes]] = []
        """Positions that the stream has, and the content of their entries: a frame, or something else."""
        self.last_position = START
        self.turn = 0
        self.turn_first = START
        self.ended = False
        self.away = False
        self.publish(events.FIRST_OWNER, Position(1000, 1))

    def publish(self, event: events.StreamEvent | None, position: Position | None = None) -> None:
        """Append a frame, audio unless it is an event."""
        at = position or Position(self.last_position.generation, self.last_position.seq + 1)
        if isinstance(event, events.TurnStarted):
            self.turn, self.turn_first = self.turn + 1, at
        kind = Kind.AUDIO if event is None else Kind.EVENT
        payload = b"pcm " * 20 if event is None else events.encode(event)
        data = frame.encode(Frame(kind, Flags.NONE, Codec.PCM_S16LE, self.turn, *at, 0, 0, payload))
        self.published[at] = data
        self.stream.append((at, data))
        self.last_position = at

    def write_foreign_entry(self) -> None:
        """Let another program write an entry at the position of the next frame, which is lost."""
        self.publish(None)
        at, data = self.stream[-1]
        wrong = frame.encode(frame.decode(data)._replace(seq=at.seq + 7))
        self.stream[-1] = (at, random.Random(at.seq).choice([b"", b"junk", wrong]))

    def trim(self, count: int) -> None:
        """Remove the oldest entries; retention leaves the last."""
        del self.stream[: min(count, len(self.stream) - 1)]

    def fail_over(self, count: int) -> list[tuple[Position, bytes]]:
        """Fail over to a replica that lacks the newest frames; returns those."""
        at = max(len(self.stream) - count, 1)
        removed = self.stream[at:]
        del self.stream[at:]
        self.last_position = self.stream[-1][0]
        return removed

    def change_owner(self) -> None:
        """Change the owner: its first frame names the last position."""
        self.publish(
            events.OwnerChanged(str(self.last_position)), Position(self.last_position.generation + 1000, 1)
        )

    def entries(self, after: Position, upto: Position | None = None) -> list[Entry]:
        return [
            (str(at).encode(), [b"f", data])
            for at, data in self.stream
            if at > after and (upto is None or at <= upto)
        ]

    def page(self, cursor: Position, upto: Position) -> ReplayPage:
        """The page that ``Replay.after`` returns."""
        if self.away:
            raise Away
        frames = EntryDecoder().decode(self.entries(cursor, upto)[:PAGE_FRAMES])
        following = unbroken(cursor, frames)
        if following:
            return ReplayPage(following)
        if not frames and self.last_position < upto:
            raise Away
        return ReplayPage(restart=restart(cursor, frames, turn_first=self.turn_first, upto=upto))


class CheckedViewer:
    """One viewer: its connection, its protocol, and the invariants of its messages."""

    def __init__(self, store: Store, start: Position) -> None:
        self.cursor = start
        """The last position that it has received, or that a gap has named."""
        self.gaps = 0
        self.received = 0
        self.unsent_bytes = 0
        self.closed_with: CloseCode | None = None
        self.open = True
        self.left = False
        self.broken = False
        """Whether its protocol raises for frames."""
        self.page: ReplayPage | None = None
        """A page that was read for it and is not delivered yet."""
        self.behind = False
        self.subscriber = Subscriber(self, self, start)
        self._store = store
        self._native = Native()

    # --- part of Encoder -----------------------------------------------------------------------

    complete = False

    def frames(self, batch) -> bytes:
        if self.broken:
            raise ValueError("planted")
        return self._native.frames(batch)

    def event(self, event: events.GatewayEvent, cursor: Position, /) -> bytes:
        return self._native.event(event, cursor)

    # --- part of Connection --------------------------------------------------------------------

    @property
    def congested(self) -> bool:
        return self.unsent_bytes > BUFFER_BYTES

    def write(self, messages: bytes) -> None:
        assert self.closed_with is None, "nothing follows the close"
        assert not self.left, "nothing is sent to a viewer that has left"
        congested = self.congested
        self.unsent_bytes += len(messages)
        for data in payloads(messages):
            position = frame.position_of(data)
            if position.seq:
                assert not congested, "a congested viewer gets no frame"
                self._receive(position, data)
            else:
                self._receive_event(events.of_frame(data))

    def close(self, code: CloseCode) -> None:
        assert self.closed_with is None, "a subscriber closes once"
        self.closed_with = code
        if code is CONVERSATION_ENDED:
            assert self._store.ended
            assert self.cursor == self._store.last_position, "every frame comes before the end"

    # --- the invariants ----------------------------------------------------------------------------

    def _receive(self, position: Position, data: bytes) -> None:
        event = events.of_frame(data) if position.seq == 1 else None
        assert events.follows(self.cursor, position, event), f"{position} does not follow {self.cursor}"
        assert data == self._store.published[position]
        self.cursor = position
        self.received += 1

    def _receive_event(self, event: events.Event | events.Unknown | None) -> None:
        if not isinstance(event, events.Gap):
            return
        to = Position.parse(event.to)
        assert event.from_ == str(self.cursor), "a gap begins at the viewer's cursor"
        assert to > self.cursor
        self.cursor = to
        self.gaps += 1

    def check_gap(
        self, before: Position, stream: Sequence[tuple[Position, bytes]], turn_first: Position
    ) -> None:
        """A gap names only frames that are gone, and none of the current turn that the stream still has."""
        frames_left = [at for at, data in stream if len(data) > 32 and frame.position_of(data) == at]
        next_left = [at for at in frames_left if at > before][:1]
        for at in next_left:
            event = events.of_frame(self._store.published[at]) if at.seq == 1 else None
            assert not events.follows(before, at, event), f"the gap names {at}, which the stream had"
        assert not [at for at in frames_left if max(turn_first.before, before) < at <= self.cursor], (
            "the gap names frames of the current turn"
        )


def payloads(messages: bytes) -> list[bytes]:
    """The payloads of a server's WebSocket messages (RFC 6455 5.2)."""
    found, at = [], 0
    while at < len(messages):
        assert messages[at] == 0x82
        size, at = messages[at + 1], at + 2
        if size == 126:
            size, at = int.from_bytes(messages[at : at + 2], "big"), at + 2
        found.append(messages[at : at + size])
        at += size
    return found

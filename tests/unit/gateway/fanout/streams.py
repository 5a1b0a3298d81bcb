"""Frames, stream entries and a connection in memory, for tests of the fan-out."""

from relay_gateway.dialects.native import Native
from relay_gateway.fanout.batch import Batch, SharedFrame
from relay_gateway.fanout.encoder import Encoder
from relay_gateway.fanout.entries import Entry
from relay_gateway.fanout.subscriber import Subscriber
from relay_wire import events, frame
from relay_wire.close_codes import CloseCode
from relay_wire.frame import HEADER_BYTES, Codec, Flags, Frame, Kind
from relay_wire.position import Position

GENERATION = 5
PAYLOAD_BYTES = 10
FRAME_BYTES = HEADER_BYTES + PAYLOAD_BYTES


def at(seq: int, generation: int = GENERATION) -> Position:
    return Position(generation, seq)


def a_frame(seq: int, event: events.StreamEvent | None = None, generation: int = GENERATION) -> SharedFrame:
    """Audio of ten bytes, or an event."""
    kind = Kind.AUDIO if event is None else Kind.EVENT
    payload = f"frame-{seq:03}.".encode() if event is None else events.encode(event)
    return SharedFrame(
        frame.encode(Frame(kind, Flags.NONE, Codec.PCM_S16LE, 1, generation, seq, 0, 0, payload))
    )


def entry(shared: SharedFrame) -> Entry:
    """The stream entry of a frame."""
    return str(shared.position).encode(), (b"f", shared.data)


def entries(*seqs: int) -> list[Entry]:
    return [entry(a_frame(seq)) for seq in seqs]


class MemoryConnection:
    """A connection that keeps what is written. ``fails``: its protocol raises for frames."""

    def __init__(self) -> None:
        self.open = True
        self.congested = False
        self.unsent_bytes = 0
        self.written = b""
        self.closed_with: CloseCode | None = None
        self.congested_from: int | None = None
        """Bytes after which it is congested."""

    def write(self, messages: bytes) -> None:
        self.written += messages
        self.unsent_bytes += len(messages)
        if self.congested_from is not None:
            self.congested = len(self.written) >= self.congested_from

    def close(self, code: CloseCode) -> None:
        self.closed_with = code

    async def drained(self, within_s: float) -> bool:
        return not self.congested or within_s < 0

    @property
    def frames(self) -> list[bytes]:
        """The payloads of the WebSocket messages, each below 126 bytes (RFC 6455 5.2)."""
        found, data = [], self.written
        while data:
            size_bytes = data[1]
            found.append(data[2 : 2 + size_bytes])
            data = data[2 + size_bytes :]
        return found

    @property
    def seqs(self) -> list[int]:
        """The numbers of the frames written; 0 for the gateway's own events."""
        return [frame.position_of(data).seq for data in self.frames]


class Failing:
    """A protocol whose encoder raises. No class of tests inherits from `Native`, which may be compiled."""

    complete = False
    idle = True

    def frames(self, _batch: Batch) -> bytes:
        raise ValueError("planted")

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        return Native().event(event, cursor)

    def last(self, _code: CloseCode) -> bytes:
        return b""


class InTurn:
    """A protocol whose viewer is in a turn until `idle` is set. `complete`: after one batch it is."""

    def __init__(self, *, complete: bool = False) -> None:
        self.complete = complete
        self.idle = False

    def frames(self, batch: Batch) -> bytes:
        return Native().frames(batch)

    def event(self, event: events.GatewayEvent, cursor: Position) -> bytes:
        return Native().event(event, cursor)

    def last(self, _code: CloseCode) -> bytes:
        return b""


def a_subscriber(cursor: Position, dialect: Encoder | None = None) -> tuple[Subscriber, MemoryConnection]:
    connection = MemoryConnection()
    return Subscriber(connection, dialect or Native(), cursor), connection

"""Random lives of viewers at one feed, against a model of the stream, the store and the connections.

Each scenario is a random order of: frames published and read in any batches, connections that are congested
and drain, retention, a store that is away or loses its newest frames, owners that change, foreign entries,
defects and the end. A viewer's life is checked message by message, so it fails at the first wrong one. A
failure names its seed; ``Scenario(seed).run()`` repeats it.
"""

import random
from collections.abc import Callable, Sequence

import pytest

from relay_gateway.dialects.native import Native
from relay_gateway.fanout.entries import Entry, EntryDecoder
from relay_gateway.fanout.feed import Defect, Feed, FellBehind, Joined, Step
from relay_gateway.fanout.page import ReplayPage, restart, unbroken
from relay_gateway.fanout.subscriber import Subscriber
from relay_wire import events, frame
from relay_wire.close_codes import (
    CONVERSATION_ENDED,
    INTERNAL_ERROR,
    SLOW_CONSUMER,
    STORE_UNAVAILABLE,
    CloseCode,
)
from relay_wire.frame import Codec, Flags, Frame, Kind
from relay_wire.position import START, Position

LIVES = 10_000
VIEWERS = 20
"""Lives in one scenario."""
OPERATIONS = 300
BUFFER_BYTES = 600
RING_BYTES = 900
PAGE_FRAMES = 4


class Away(Exception):
    """Raised when the store cannot serve a read now."""


class Store:
    """The down stream and the record of a conversation, as the gateway sees them."""

    def __init__(self) -> None:
        self.published: dict[Position, bytes] = {}
        """What the current owner and those before it have written, for good."""
        self.stream: list[tuple[Position, bytes]] = []
        """Positions that the stream has, and the content of their entries: a frame, or something else."""
        self.tail = START
        self.turn = 0
        self.turn_first = START
        self.ended = False
        self.away = False
        self.publish(events.FIRST_OWNER, Position(1000, 1))

    def publish(self, event: events.StreamEvent | None, position: Position | None = None) -> None:
        """Append a frame, audio unless it is an event."""
        at = position or Position(self.tail.generation, self.tail.seq + 1)
        if isinstance(event, events.TurnStarted):
            self.turn, self.turn_first = self.turn + 1, at
        kind = Kind.AUDIO if event is None else Kind.EVENT
        payload = b"pcm " * 20 if event is None else events.encode(event)
        data = frame.encode(Frame(kind, Flags.NONE, Codec.PCM_S16LE, self.turn, *at, 0, 0, payload))
        self.published[at] = data
        self.stream.append((at, data))
        self.tail = at

    def occupy(self) -> None:
        """Have another program write an entry in the place of the next frame, which so is lost."""
        self.publish(None)
        at, data = self.stream[-1]
        wrong = frame.encode(frame.decode(data)._replace(seq=at.seq + 7))
        self.stream[-1] = (at, random.Random(at.seq).choice([b"", b"junk", wrong]))

    def trim(self, count: int) -> None:
        """Remove the oldest; retention leaves the last."""
        del self.stream[: min(count, len(self.stream) - 1)]

    def lose(self, count: int) -> list[tuple[Position, bytes]]:
        """Fail over to a replica that lacks the newest frames; returns them."""
        at = max(len(self.stream) - count, 1)
        lost = self.stream[at:]
        del self.stream[at:]
        self.tail = self.stream[-1][0]
        return lost

    def succeed(self) -> None:
        """Change the owner: what the store has is what follows."""
        self.publish(events.OwnerChanged(str(self.tail)), Position(self.tail.generation + 1000, 1))

    def entries(self, after: Position, upto: Position | None = None) -> list[Entry]:
        return [
            (str(at).encode(), [b"f", data])
            for at, data in self.stream
            if at > after and (upto is None or at <= upto)
        ]

    def page(self, cursor: Position, upto: Position) -> ReplayPage:
        """What ``Replay.after`` reads."""
        if self.away:
            raise Away
        frames = EntryDecoder().decode(self.entries(cursor, upto)[:PAGE_FRAMES])
        following = unbroken(cursor, frames)
        if following:
            return ReplayPage(following)
        if not frames and self.tail < upto:
            raise Away
        return ReplayPage(restart=restart(cursor, frames, turn_first=self.turn_first, upto=upto))


class Life:
    """One viewer: its connection, its protocol, and the check of what it receives."""

    def __init__(self, store: Store, start: Position) -> None:
        self.cursor = start
        """The last position that it has, or that a gap has accounted for."""
        self.gaps = 0
        self.received = 0
        self.unsent_bytes = 0
        self.closed_with: CloseCode | None = None
        self.open = True
        self.left = False
        self.broken = False
        """Whether its protocol raises."""
        self.page: ReplayPage | None = None
        """What was read for it and is not handled yet."""
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
            assert self.cursor == self._store.tail, "nothing is missing before the end"

    # --- the checks ----------------------------------------------------------------------------

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
        assert event.from_ == str(self.cursor), "a gap begins at what the viewer has"
        assert to > self.cursor
        self.cursor = to
        self.gaps += 1

    def check_gap(
        self, before: Position, had: Sequence[tuple[Position, bytes]], turn_first: Position
    ) -> None:
        """A gap is sent for frames that are gone, and covers none of the current turn that is left."""
        good = [at for at, data in had if len(data) > 32 and frame.position_of(data) == at]
        next_up = [at for at in good if at > before][:1]
        for at in next_up:
            event = events.of_frame(self._store.published[at]) if at.seq == 1 else None
            assert not events.follows(before, at, event), f"the gap covers {at}, which was there"
        assert not [at for at in good if max(turn_first.before, before) < at <= self.cursor], (
            "left of the turn"
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


class Scenario:
    """Lives at one feed, in the order that a seed gives."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.store = Store()
        self.lives: list[Life] = []
        self.failed = False
        self.feed = Feed(self.store.tail, ended=False, ring_bytes=self.random.choice([0, RING_BYTES]))
        self.read_upto = self.store.tail
        """The consumer's cursor."""
        self.waiting_to_come = VIEWERS

    def run(self) -> list[Life]:
        """Every operation, then what is still to come in quiet: the lives, all checked."""
        operations: dict[Callable[[], None], int] = {
            self.publish: 12, self.read: 10, self.come: 8, self.drain: 14, self.catch_up: 20, self.trim: 2,
            self.toggle_store: 2, self.lose: 1, self.succeed: 1, self.occupy: 1, self.send_event: 1,
            self.leave: 1, self.break_one: 1, self.give_up: 1,
        }  # fmt: skip
        plan = self.random.choices(list(operations), list(operations.values()), k=OPERATIONS)
        for operation in plan:
            operation()
        self.finish()
        return self.lives

    # --- operations ----------------------------------------------------------------------------

    def publish(self) -> None:
        """A few frames, now and then with a new turn."""
        for _ in range(self.random.randint(1, 6)):
            self.store.publish(events.TurnStarted() if self.random.random() < 0.1 else None)

    def read(self) -> None:
        """The next entries, as many as one read or notification brings."""
        entries = self.store.entries(self.read_upto)[: self.random.randint(1, 8)]
        if entries and not self.store.away and not self.failed:
            self.read_upto = Position.parse(entries[-1][0].decode())
            for effect in self.feed.receive(entries):
                if isinstance(effect, FellBehind):
                    self._life_of(effect.subscriber).behind = True
                elif isinstance(effect, Defect):
                    assert str(effect.error) == "planted"

    def come(self) -> None:
        """A viewer, from the last frame, or from one that it had."""
        if self.waiting_to_come:
            self.waiting_to_come -= 1
            start = self.random.choice(
                [START, self.store.tail, self.random.choice(list(self.store.published))]
            )
            life = Life(self.store, start)
            self.lives.append(life)
            life.behind = self.feed.join(life.subscriber) is Joined.BEHIND

    def drain(self) -> None:
        """Some connection sends some of its buffer."""
        for life in self._some():
            life.unsent_bytes = self.random.choice([0, 0, life.unsent_bytes // 2])

    def catch_up(self) -> None:
        """The task of some subscriber that is behind gets one step further."""
        for life in self._some():
            self._step(life)

    def trim(self) -> None:
        self.store.trim(self.random.choice([1, 3, 10, 50]))

    def toggle_store(self) -> None:
        self.store.away = not self.store.away

    def lose(self) -> None:
        """A fail-over; the owner writes the lost frames again, or another succeeds it."""
        lost = self.store.lose(self.random.randint(1, 5))
        if self.random.random() < 0.5 and lost:
            self.catch_up()
            self.store.stream += lost
            self.store.tail = lost[-1][0]
        else:
            self.store.turn_first = min(self.store.turn_first, self.store.tail)
            self.store.succeed()

    def succeed(self) -> None:
        self.store.succeed()

    def occupy(self) -> None:
        self.store.occupy()
        self.store.publish(None)

    def send_event(self) -> None:
        for life in self._some():
            life.subscriber.send_event(events.Pong("1"))

    def leave(self) -> None:
        """A viewer closes its connection, and its handler sees that."""
        for life in self._some():
            life.subscriber.abandon()
            self.feed.leave(life.subscriber)
            life.open, life.left, life.behind = False, True, False

    def break_one(self) -> None:
        if self.random.random() < 0.3:
            for life in self._some():
                life.broken = True

    def give_up(self) -> None:
        """A deadline passes for a viewer that waits for its connection, or for the store."""
        for life in self._some():
            if life.behind and life.subscriber.active and self.random.random() < 0.3:
                life.subscriber.end(SLOW_CONSUMER if life.congested else STORE_UNAVAILABLE)

    def finish(self) -> None:
        """The end is published, everything is read and drained: each life that is open gets the end."""
        self.store.away = False
        while self.waiting_to_come:
            self.come()
        if self.random.random() < 0.1:
            self.failed = True
            self.feed.fail()
        self.store.publish(events.ConversationEnded("over"))
        self.store.ended = True
        while self.read_upto < self.store.tail and not self.failed:
            self.read()
        for life in self.lives:
            for _ in range(len(self.store.published) + 10):
                life.unsent_bytes = 0
                self._step(life)
            assert life.closed_with or life.left, f"a life has no end: {life.cursor}, {self.store.tail}"
            assert not life.behind
            if self.failed and not life.broken:
                assert life.left or life.closed_with is not CONVERSATION_ENDED

    # --- the task of one subscriber ------------------------------------------------------------

    def _step(self, life: Life) -> None:
        if life.page is not None:
            self._handle(life, life.page)
            life.page = None
        elif life.behind:
            try:
                step = self.feed.advance(life.subscriber, BUFFER_BYTES)
            except ValueError:
                life.subscriber.end(INTERNAL_ERROR)
                step = Step.NONE
            if step is Step.STREAM:
                try:
                    life.page = self.store.page(life.subscriber.cursor, self.feed.cursor)
                except Away:
                    return
                if life.page.restart is not None:
                    had, turn_first, before = list(self.store.stream), self.store.turn_first, life.cursor
                    upto = [one for one in had if one[0] <= self.feed.cursor]
                    self._handle(life, life.page)
                    life.page = None
                    life.check_gap(before, upto, turn_first)
            elif step is Step.NONE:
                life.behind = False
            elif step is Step.DRAIN:
                assert life.congested
            else:
                assert life.cursor > self.feed.cursor

    def _handle(self, life: Life, page: ReplayPage) -> None:
        try:
            if page.restart is not None:
                life.subscriber.skip(page.restart)
            else:
                life.subscriber.replay(page.frames)
        except ValueError:
            life.subscriber.end(INTERNAL_ERROR)

    def _some(self) -> list[Life]:
        here = [life for life in self.lives if not life.left]
        return self.random.sample(here, min(len(here), 3))

    def _life_of(self, subscriber: Subscriber) -> Life:
        [life] = [life for life in self.lives if life.subscriber is subscriber]
        return life


@pytest.mark.parametrize("part", range(10))
def test_each_frame_once_and_in_order_or_a_gap(part: int) -> None:
    """In any order, every viewer gets every frame once, or an exact gap, and nothing after its close."""
    scenarios = LIVES // VIEWERS // 10
    lives: list[Life] = []
    for seed in range(part * scenarios, (part + 1) * scenarios):
        try:
            lives += Scenario(seed).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error

    assert len(lives) == LIVES // 10
    assert sum(life.received for life in lives) > 10 * len(lives), "frames flow"
    assert sum(life.gaps for life in lives) > len(lives) // 10, "frames go"
    assert {life.closed_with for life in lives} >= {
        CONVERSATION_ENDED,
        SLOW_CONSUMER,
        STORE_UNAVAILABLE,
        None,
    }

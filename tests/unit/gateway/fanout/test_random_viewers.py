"""Random viewers at one feed, against a model of the stream, of Redis and of the connections.

Each scenario is a random order of: frames that are published and read in batches of any size, connections
that are congested and drain, retention, a Redis that is away or loses its newest frames, owners that change,
foreign entries, defects and the end. Each message to a viewer is checked, so a scenario fails at the
first wrong one. A failure names its seed; ``Scenario(seed).run()`` repeats it.
"""

import random
from collections.abc import Callable

import pytest
from tests.unit.gateway.fanout.checked_viewer import BUFFER_BYTES, Away, CheckedViewer, Store

from relay_gateway.fanout.feed import Defect, Feed, FellBehind, Joined, Step
from relay_gateway.fanout.page import ReplayPage
from relay_gateway.fanout.subscriber import Subscriber
from relay_wire import events
from relay_wire.close_codes import CONVERSATION_ENDED, INTERNAL_ERROR, SLOW_CONSUMER, STORE_UNAVAILABLE
from relay_wire.position import START, Position

VIEWERS_IN_ALL = 10_000
VIEWERS = 20
"""Viewers in one scenario."""
OPERATIONS = 300
RING_BYTES = 900


class Scenario:
    """Viewers at one feed, and operations in an order that a seed gives."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.store = Store()
        self.viewers: list[CheckedViewer] = []
        self.failed = False
        self.feed = Feed(
            self.store.last_position, ended=False, ring_bytes=self.random.choice([0, RING_BYTES])
        )
        self.read_upto = self.store.last_position
        """The consumer's cursor."""
        self.to_connect = VIEWERS

    def run(self) -> list[CheckedViewer]:
        """Run random operations, then the end of the conversation; returns the viewers, each checked."""
        operations: dict[Callable[[], None], int] = {
            self.publish: 12, self.read: 10, self.connect: 8, self.drain: 14, self.catch_up: 20, self.trim: 2,
            self.toggle_redis: 2, self.fail_over: 1, self.change_owner: 1, self.write_foreign_entry: 1,
            self.send_event: 1, self.leave: 1, self.plant_defect: 1, self.time_out: 1,
        }  # fmt: skip
        plan = self.random.choices(list(operations), list(operations.values()), k=OPERATIONS)
        for operation in plan:
            operation()
        self.finish()
        return self.viewers

    # --- operations ----------------------------------------------------------------------------

    def publish(self) -> None:
        """Publish up to six frames, some of which begin a turn."""
        for _ in range(self.random.randint(1, 6)):
            self.store.publish(events.TurnStarted() if self.random.random() < 0.1 else None)

    def read(self) -> None:
        """Read up to eight entries, as of one read or notification."""
        entries = self.store.entries(self.read_upto)[: self.random.randint(1, 8)]
        if entries and not self.store.away and not self.failed:
            self.read_upto = Position.parse(entries[-1][0].decode())
            for effect in self.feed.receive(entries):
                if isinstance(effect, FellBehind):
                    self._viewer_of(effect.subscriber).behind = True
                elif isinstance(effect, Defect):
                    assert str(effect.error) == "planted"

    def connect(self) -> None:
        """Connect a viewer: from the start, the last frame, or any frame before."""
        if self.to_connect:
            self.to_connect -= 1
            start = self.random.choice(
                [START, self.store.last_position, self.random.choice(list(self.store.published))]
            )
            viewer = CheckedViewer(self.store, start)
            self.viewers.append(viewer)
            viewer.behind = self.feed.join(viewer.subscriber) is Joined.BEHIND

    def drain(self) -> None:
        """Some connections send half or all of their buffer."""
        for viewer in self._sample():
            viewer.unsent_bytes = self.random.choice([0, 0, viewer.unsent_bytes // 2])

    def catch_up(self) -> None:
        """The tasks of some subscribers that are behind advance by one step."""
        for viewer in self._sample():
            self._step(viewer)

    def trim(self) -> None:
        self.store.trim(self.random.choice([1, 3, 10, 50]))

    def toggle_redis(self) -> None:
        self.store.away = not self.store.away

    def fail_over(self) -> None:
        """Fail over; the owner restores the removed frames, or another owner follows."""
        removed = self.store.fail_over(self.random.randint(1, 5))
        if self.random.random() < 0.5 and removed:
            self.catch_up()
            self.store.stream += removed
            self.store.last_position = removed[-1][0]
        else:
            self.store.turn_first = min(self.store.turn_first, self.store.last_position)
            self.store.change_owner()

    def change_owner(self) -> None:
        self.store.change_owner()

    def write_foreign_entry(self) -> None:
        self.store.write_foreign_entry()
        self.store.publish(None)

    def send_event(self) -> None:
        for viewer in self._sample():
            viewer.subscriber.send_event(events.Pong("1"))

    def leave(self) -> None:
        """Some viewers close their connections, and their handlers end."""
        for viewer in self._sample():
            viewer.subscriber.abandon()
            self.feed.leave(viewer.subscriber)
            viewer.open, viewer.left, viewer.behind = False, True, False

    def plant_defect(self) -> None:
        if self.random.random() < 0.3:
            for viewer in self._sample():
                viewer.broken = True

    def time_out(self) -> None:
        """A deadline passes for viewers that wait for their connection, or for Redis."""
        for viewer in self._sample():
            if viewer.behind and viewer.subscriber.active and self.random.random() < 0.3:
                viewer.subscriber.end(SLOW_CONSUMER if viewer.congested else STORE_UNAVAILABLE)

    def finish(self) -> None:
        """Publish the end, read and drain everything: each open viewer receives the end."""
        self.store.away = False
        while self.to_connect:
            self.connect()
        if self.random.random() < 0.1:
            self.failed = True
            self.feed.fail()
        self.store.publish(events.ConversationEnded("over"))
        self.store.ended = True
        while self.read_upto < self.store.last_position and not self.failed:
            self.read()
        for viewer in self.viewers:
            for _ in range(len(self.store.published) + 10):
                viewer.unsent_bytes = 0
                self._step(viewer)
            assert viewer.closed_with or viewer.left, (
                f"a viewer has no end: {viewer.cursor}, {self.store.last_position}"
            )
            assert not viewer.behind
            if self.failed and not viewer.broken:
                assert viewer.left or viewer.closed_with is not CONVERSATION_ENDED

    # --- the task of one subscriber ------------------------------------------------------------

    def _step(self, viewer: CheckedViewer) -> None:
        if viewer.page is not None:
            self._handle(viewer, viewer.page)
            viewer.page = None
        elif viewer.behind:
            try:
                step = self.feed.advance(viewer.subscriber, BUFFER_BYTES)
            except ValueError:
                viewer.subscriber.end(INTERNAL_ERROR)
                step = Step.NONE
            if step is Step.STREAM:
                try:
                    viewer.page = self.store.page(viewer.subscriber.cursor, self.feed.cursor)
                except Away:
                    return
                if viewer.page.restart is not None:
                    had, turn_first, before = list(self.store.stream), self.store.turn_first, viewer.cursor
                    upto = [one for one in had if one[0] <= self.feed.cursor]
                    self._handle(viewer, viewer.page)
                    viewer.page = None
                    viewer.check_gap(before, upto, turn_first)
            elif step is Step.NONE:
                viewer.behind = False
            elif step is Step.DRAIN:
                assert viewer.congested
            else:
                assert viewer.cursor > self.feed.cursor

    def _handle(self, viewer: CheckedViewer, page: ReplayPage) -> None:
        try:
            if page.restart is not None:
                viewer.subscriber.skip(page.restart)
            else:
                viewer.subscriber.replay(page.frames)
        except ValueError:
            viewer.subscriber.end(INTERNAL_ERROR)

    def _sample(self) -> list[CheckedViewer]:
        here = [viewer for viewer in self.viewers if not viewer.left]
        return self.random.sample(here, min(len(here), 3))

    def _viewer_of(self, subscriber: Subscriber) -> CheckedViewer:
        [viewer] = [viewer for viewer in self.viewers if viewer.subscriber is subscriber]
        return viewer


@pytest.mark.parametrize("part", range(10))
def test_each_frame_once_and_in_order_or_a_gap(part: int) -> None:
    """In any order, every viewer gets every frame once, or an exact gap, and nothing after its close."""
    scenarios = VIEWERS_IN_ALL // VIEWERS // 10
    viewers: list[CheckedViewer] = []
    for seed in range(part * scenarios, (part + 1) * scenarios):
        try:
            viewers += Scenario(seed).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error

    assert len(viewers) == VIEWERS_IN_ALL // 10
    assert sum(viewer.received for viewer in viewers) > 10 * len(viewers), "frames are delivered"
    assert sum(viewer.gaps for viewer in viewers) > len(viewers) // 10, "frames are lost"
    assert {viewer.closed_with for viewer in viewers} >= {
        CONVERSATION_ENDED,
        SLOW_CONSUMER,
        STORE_UNAVAILABLE,
        None,
    }

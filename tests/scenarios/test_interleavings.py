"""The ownership protocol, step by step: two owners in every order, and a Redis that loses data.

The steps are the real scripts on a real server; an owner here is only what a worker remembers between
two of them. The checks are of the stream, from outside.
"""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from relay_streams.conversations import RECORD_FORMAT
from relay_streams.errors import Fenced, Missing, TailLost
from relay_streams.keys import KeySpace
from relay_streams.scripts.call import Call
from relay_streams.scripts.claim import claim
from relay_streams.scripts.create import create
from relay_streams.scripts.expire import expire
from relay_streams.scripts.publish import publish
from relay_streams.scripts.release import release
from relay_streams.scripts.renew import Held, renew
from relay_streams.scripts.restore import restore
from relay_wire.position import Position

KEYS = KeySpace(1).conversation("01JDMODEL")
SHARED = KeySpace(1).shared(0)
T = TypeVar("T")
LEASE_MS = 600_000
"""Leases run out when the test decides."""


class Store:
    """The scripts, called one at a time."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, call: Call[T]) -> T:
        """One step."""
        keys = call.keys
        reply = self.client.execute_command("EVAL", call.script.text, len(keys), *keys, *call.arguments)
        return call.read(reply)

    def begin(self, spoken: int) -> None:
        """A new conversation with this number of speech entries waiting."""
        self.client.flushall()
        self.run(create(KEYS, creator="", fields=("state", "open")))
        for index in range(1, spoken + 1):
            self.client.execute_command("XADD", KEYS.up, f"{index}-0", "d", index)

    def let_the_lease_run_out(self) -> None:
        """Time passes, and a sweep notices."""
        self.client.delete(KEYS.lease)
        self.client.execute_command("ZADD", KEYS.leases, "XX", 0, KEYS.id)
        self.run(expire(SHARED, limit=10))

    def frames(self) -> list[tuple[tuple[int, int], bytes]]:
        """The stream: positions and bytes."""
        entries: Any = self.client.execute_command("XRANGE", KEYS.down, "-", "+")
        return [(_position(entry), fields[b"f"]) for entry, fields in entries]

    def snapshot(self) -> dict[str, bytes | None]:
        """What a replica has."""
        return {
            name: self.client.dump(name) for name in (KEYS.meta, KEYS.lease, KEYS.leases, KEYS.down, KEYS.up)
        }

    def fail_over(self, snapshot: dict[str, bytes | None]) -> None:
        """To a replica that had only this."""
        self.client.delete(*snapshot)
        for name, dump in snapshot.items():
            if dump is not None:
                self.client.restore(name, 0, dump)


class Owner:
    """What a worker remembers of one conversation."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        self.generation = 0
        self.fenced = False
        self.frames: list[bytes] = []
        """All of its generation, each the number of the speech it was made from."""
        self.acknowledged = 0
        self.consumed = 0

    @property
    def owns(self) -> bool:
        """Whether it believes to own the conversation."""
        return self.generation > 0 and not self.fenced

    def claim(self) -> bool:
        """Become the owner, if there is none."""
        if self.owns:
            return False
        claimed = self.store.run(claim(KEYS, owner=self.name, lease_ms=LEASE_MS, record_format=RECORD_FORMAT))
        if claimed is None:
            return False
        assert claimed.generation > self.generation, "a generation was issued twice"
        self.generation, self.fenced, self.frames, self.acknowledged = claimed.generation, False, [], 0
        self.consumed = int(claimed.fields.get(b"up", b"0-0").split(b"-")[0])
        return True

    def publish(self, count: int = 1, *, trim: bool = False) -> None:
        """Make frames of the next speech and append them, with whatever is not acknowledged yet."""
        if not self.owns:
            return
        waiting: Any = self.store.client.execute_command(
            "XRANGE", KEYS.up, f"({self.consumed}-0", "+", "COUNT", count
        )
        for _, fields in waiting:
            # A replaced owner finds speech trimmed that its successor has taken: the stream decides, not it.
            self.consumed = int(fields[b"d"])
            self.frames.append(fields[b"d"])
        self.append(trim=trim)

    def append(self, *, trim: bool = False) -> None:
        """Append what is not acknowledged; repeating it is what a worker does when no reply came."""
        if not self.owns:
            return
        position = Position(self.generation, len(self.frames))
        frames = [part for frame in self.frames[self.acknowledged :] for part in (frame, "")]
        call = publish(
            KEYS,
            generation=self.generation,
            first_seq=self.acknowledged + 1,
            turn=1,
            turn_first=position,
            turn_before=position,
            trim_to=position if trim else None,
            uplink_cursor=f"{self.consumed}-0" if self.consumed else "",
            checkpoint=b"{}",
            turn_phase="speaking",
            turn_ends_at_ms=0,
            frames=frames,
        )
        try:
            self.store.run(call)
        except (TailLost, Missing):
            self.restore()
        except Fenced as error:
            if error.generation < self.generation:
                self.restore()
            else:
                self.fenced = True
        else:
            self.acknowledged = len(self.frames)

    def restore(self) -> None:
        """Bring the store level and write again."""
        call = restore(
            KEYS,
            generation=self.generation,
            lease=f"{self.name} {self.generation}",
            lease_ms=LEASE_MS,
            floor=0,
            cursor=f"{self.consumed}-0",
            turn=1,
            offset=self.consumed,
            state="open",
            key="",
            trace="",
            fields=("state", "open"),
        )
        try:
            self.acknowledged = self.store.run(call)
        except Fenced:
            self.fenced = True
        else:
            self.append()

    def renew(self) -> None:
        """Keep the lease."""
        if not self.owns:
            return
        value = f"{self.name} {self.generation}"
        lost, gone = self.store.run(renew([Held(KEYS, value, self.generation)], lease_ms=LEASE_MS))
        self.fenced = bool(lost)
        if gone:
            self.restore()

    def release(self) -> None:
        """Release the conversation."""
        if self.owns:
            value = f"{self.name} {self.generation}"
            self.store.run(release(KEYS, lease=value))
            self.fenced = True


def check(frames: list[tuple[tuple[int, int], bytes]], *, trimmed: bool) -> None:
    """The stream has no hole, and every piece of speech once."""
    positions = [position for position, _ in frames]
    assert positions == sorted(set(positions))
    for (generation, seq), (next_generation, next_seq) in itertools.pairwise(positions):
        assert next_seq == (seq + 1 if next_generation == generation else 1), f"a hole in {positions}"
    speech = [int(frame) for _, frame in frames]
    first = speech[0] if trimmed and speech else 1
    assert speech == list(range(first, first + len(speech))), f"speech {speech}"


def merges(*lengths: int) -> Iterator[tuple[int, ...]]:
    """Every order of steps that keeps each actor's own order."""
    if not any(lengths):
        yield ()
        return
    for actor, left in enumerate(lengths):
        if left:
            rest = (*lengths[:actor], left - 1, *lengths[actor + 1 :])
            for tail in merges(*rest):
                yield (actor, *tail)


@pytest.fixture
def store(redis_server, no_blocking) -> Iterator[Store]:
    """A synchronous client: one step at a time is the point."""
    no_blocking.deactivate()
    with redis.Redis.from_url(redis_server.url) as client:
        yield Store(client)


@pytest.mark.parametrize("trim", [False, True], ids=["keep", "trim"])
def test_two_owners_in_every_order(store, trim) -> None:
    """The lease runs out anywhere; the second owner acts anywhere between the steps of the first."""
    orders = 0
    for order in merges(4, 4, 1):
        store.begin(spoken=6)
        first, second = Owner(store, "first"), Owner(store, "second")
        assert first.claim()
        speak, last = partial(Owner.publish, count=2), partial(Owner.publish, trim=trim)
        steps = (
            iter(partial(step, first) for step in (speak, Owner.append, Owner.renew, last)),
            iter(partial(step, second) for step in (Owner.claim, speak, Owner.renew, last)),
            iter((store.let_the_lease_run_out,)),
        )
        for actor in order:
            acknowledged_then, owned_then = first.acknowledged, second.owns
            next(steps[actor])()
            if owned_then:
                assert first.acknowledged == acknowledged_then, "a replaced owner wrote"
        first.renew()
        second.renew()

        check(store.frames(), trimmed=trim)
        assert [first.owns, second.owns].count(True) == 1
        owner = first if first.owns else second
        assert store.client.get(KEYS.lease) == b"%s %d" % (owner.name.encode(), owner.generation)
        orders += 1
    assert orders == 630


class Ownership(RuleBasedStateMachine):
    """Two owners and a Redis that may lose its last writes, its claims, or everything."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.store.begin(spoken=40)
        self.owners = [Owner(self.store, "first"), Owner(self.store, "second")]
        self.generations: list[int] = []
        self.seen: dict[tuple[int, int], bytes] = {}
        self.replica: dict[str, bytes | None] = {}
        self.lost_by: int | None = None

    @property
    def newest(self) -> int:
        """The largest generation issued."""
        return max(self.generations, default=0)

    @initialize()
    def first_claim(self) -> None:
        self.claim(0)

    @rule(which=st.integers(0, 1))
    def claim(self, which: int) -> None:
        owner = self.owners[which]
        if owner.claim():
            assert owner.generation > self.newest, "a generation was issued again"
            self.generations.append(owner.generation)

    @rule(which=st.integers(0, 1), count=st.integers(1, 3))
    def publish(self, which: int, count: int) -> None:
        self.owners[which].publish(count)

    @rule(which=st.integers(0, 1))
    def repeat(self, which: int) -> None:
        owner = self.owners[which]
        owner.acknowledged = max(owner.acknowledged - 2, 0)  # the replies were lost
        owner.append()

    @rule(which=st.integers(0, 1))
    def renew(self, which: int) -> None:
        self.owners[which].renew()

    @rule(which=st.integers(0, 1))
    def release(self, which: int) -> None:
        self.owners[which].release()

    @rule()
    def time_passes(self) -> None:
        self.store.let_the_lease_run_out()

    @rule()
    def the_record_is_deleted(self) -> None:
        if self.living is not None:
            self.store.client.delete(KEYS.meta)
            self.living.renew()

    @rule()
    def replicate(self) -> None:
        self.replica = self.store.snapshot()
        self.replica_of = self.newest

    @precondition(lambda self: bool(self.replica))
    @rule()
    def fail_over(self) -> None:
        # One fault at a time: the owner lives, and only the last frames of its own generation are lost.
        if self.living is not None and self.replica_of == self.newest:
            self.store.fail_over(self.replica)
            self.living.renew()
            self.living.publish()

    @property
    def living(self) -> Owner | None:
        """The owner that has not been replaced."""
        return next((o for o in self.owners if o.owns and o.generation == self.newest), None)

    @invariant()
    def the_stream_only_grows(self) -> None:
        for position, frame in self.store.frames():
            assert self.seen.setdefault(position, frame) == frame, "the same id, other bytes"
        check(self.store.frames(), trimmed=False)

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        if self.living is not None:
            there = [
                frame
                for (generation, _), frame in self.store.frames()
                if generation == self.living.generation
            ]
            assert there[: self.living.acknowledged] == self.living.frames[: self.living.acknowledged]


def test_a_redis_that_loses_data(store) -> None:
    """Any order of claims, writes, repeats, expiries and fail-overs keeps the stream whole."""
    machine = type("Bound", (Ownership,), {"store": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def _position(entry: bytes) -> tuple[int, int]:
    generation, _, seq = entry.partition(b"-")
    return int(generation), int(seq)

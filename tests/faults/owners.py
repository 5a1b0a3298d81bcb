"""Faults of owners: killed, stopped, paused, with a wrong clock, full."""

import asyncio
import platform
import signal
import time
from pathlib import Path

from tests.faults.lab import Lab, Talk
from tests.faults.scenario import Part, scenario
from tests.rigs.eventually import eventually

from relay_cli.stack import Child

TAKEN_OVER_MS = 3000
"""A dead owner's conversation is another's after this at the latest."""
_FAKETIME = Part(
    "libfaketime (Debian: faketime)", f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketime.so.1"
)
_HOUR_S = 3600


@scenario(
    "Another worker continues within 3 s: the turn's audio exactly once, the next turn with motion.",
    bound_ms=TAKEN_OVER_MS, fast=True, turn_ms=2500,
)  # fmt: skip
async def owner_killed_in_turn(lab: Lab) -> None:
    talk = lab.talks[0]
    await lab.until(lambda: talk.in_turn, "a turn with motion")
    turn = talk.turn
    owner = await lab.owner_of(talk)
    orphans = await lab.owned_by(owner)
    lab.mark(*orphans)
    owner.signal(signal.SIGKILL)
    await lab.turns(1)
    lab.check(await lab.owner_of(talk) is not owner, "another worker owns the conversation")
    lab.check(_outcome(talk, turn) == "audio_only", f"the turn continues as audio: {_outcome(talk, turn)}")
    lab.check(_outcome(talk, talk.ended) == "complete", "the next turn has motion again")


@scenario(
    "Another worker claims the conversation; the next turn is whole, with motion.",
    bound_ms=TAKEN_OVER_MS, turn_ms=1000,
)  # fmt: skip
async def owner_killed_between_turns(lab: Lab) -> None:
    talk = lab.talks[0]
    talk.speaker.hold()
    await lab.until(lambda: talk.speaker.silent and talk.ended == talk.turn, "the turn's end")
    owner = await lab.owner_of(talk)
    lab.mark(talk)
    owner.signal(signal.SIGKILL)
    await lab.until(lambda: talk.viewers[0].came_after(talk.mark or 0), "another owner")
    talk.speaker.go_on()
    await lab.turns(1)
    lab.check(_outcome(talk, talk.ended) == "complete", "the next turn has motion")


@scenario(
    "After SIGTERM a worker hands each conversation over at a turn boundary and exits in bounded time.",
    bound_ms=1000,
)
async def owner_terminated(lab: Lab) -> None:
    talk = lab.talks[0]
    await lab.until(lambda: talk.in_turn, "a turn with motion")
    owner = await lab.owner_of(talk)
    before = {one.id: one.turn for one in lab.talks}
    began = time.monotonic()
    owner.signal(signal.SIGTERM)
    lab.mark()
    status = await owner.wait(6)
    lab.notes["exit_s"] = round(time.monotonic() - began, 2)
    lab.check(status == 0, f"it exits with status 0, not {status}")
    await lab.turns(1)
    outcomes = {_outcome(one, number) for one in lab.talks for number in range(before[one.id], one.ended + 1)}
    lab.check(outcomes == {"complete"}, f"every turn stays whole: {outcomes}")


@scenario(
    "A worker that was paused past its lease is fenced, counts it, closes its Motion session, and works"
    " again.",
    bound_ms=TAKEN_OVER_MS, fast=True,
)  # fmt: skip
async def zombie_owner(lab: Lab) -> None:
    talk = lab.talks[0]
    await lab.until(lambda: talk.in_turn, "a turn with motion")
    owner = await lab.owner_of(talk)
    orphans = await lab.owned_by(owner)
    other = next(worker for worker in lab.stack.workers if worker is not owner)
    lab.mark(*orphans)
    owner.signal(signal.SIGSTOP)
    try:
        await lab.turns(1)
    finally:
        owner.signal(signal.SIGCONT)
    await _until_metric(lab, owner, "relay_ingest_conversations", 0)
    lost = await lab.metric([owner], "relay_ingest_lost_total")
    lab.check(lost >= len(orphans), f"it counts {lost:g} of {len(orphans)} conversations as lost")
    lab.check(await lab.ready(owner), "it is ready again")
    await lab.turns(1)
    await _until_sessions(lab, len(lab.talks))
    # The other goes, so it must take work again.
    other.signal(signal.SIGKILL)
    await lab.turns(1)
    lab.check(len(await lab.owned_by(owner)) == len(lab.talks), "it takes work again")


@scenario(
    "A worker whose clock jumps an hour ahead or back continues; generations keep growing across owners.",
    bound_ms=TAKEN_OVER_MS, needs=_FAKETIME, workers=1,
)  # fmt: skip
async def clock_step(lab: Lab) -> None:
    clock = str(lab.stack.control.log_path.with_name("clock"))
    generations = await _generations(lab)
    _set(clock, +_HOUR_S)
    stepping = await lab.add_worker(
        LD_PRELOAD=_FAKETIME.path,
        FAKETIME_TIMESTAMP_FILE=clock,
        FAKETIME_NO_CACHE="1",
        DONT_FAKE_MONOTONIC="1",
    )
    for step_s in (0, -_HOUR_S, +_HOUR_S):  # it takes over an hour ahead; then it jumps while it talks
        lab.mark()
        if step_s:
            _set(clock, step_s)
        else:
            lab.stack.workers[0].signal(signal.SIGTERM)
        await lab.turns(1)
        lab.check(len(await lab.owned_by(stepping)) == len(lab.talks), "the jumping worker owns all")
    later = await _generations(lab)
    lab.check(all(later[one] > generations[one] for one in generations), "its generations are greater")
    await lab.add_worker()
    lab.mark()
    stepping.signal(signal.SIGTERM)
    await lab.turns(1)
    last = await _generations(lab)
    lab.check(
        all(last[one] > later[one] for one in generations), "the next owner's generations are greater again"
    )


@scenario(
    "Workers claim conversations by free capacity: a new worker gets most of the new conversations.",
    bound_ms=1000, workers=1, conversations=6, viewers=1, turn_ms=1000,
    settings={"RELAY_MAX_CONVERSATIONS": "12"},
)  # fmt: skip
async def new_worker_gets_work(lab: Lab) -> None:
    new = await lab.add_worker()
    await asyncio.sleep(1)
    lab.mark()
    before = len(lab.talks)
    for _ in range(before):
        await lab.converse()
    await lab.turns(1)
    owned = len(await lab.owned_by(new))
    lab.notes["taken_by_the_new_one"] = owned
    lab.check(owned > before // 2, f"the new worker got {owned} of {before}")


@scenario(
    "A full worker claims nothing; a conversation without a worker waits until there is capacity.",
    bound_ms=TAKEN_OVER_MS, workers=1, conversations=2, viewers=1, turn_ms=1000,
    settings={"RELAY_MAX_CONVERSATIONS": "2"},
)  # fmt: skip
async def full_worker_gets_none(lab: Lab) -> None:
    full = lab.stack.workers[0]
    waiting = await lab.converse()
    await lab.turns(1, *lab.talks[:2])
    lab.check(len(lab.talks[:2]) == await lab.metric([full], "relay_ingest_conversations"), "it stays full")
    lab.check((await lab.backend.read(waiting.id)).owner is None, "the third has no owner")
    lab.mark(waiting)
    await lab.add_worker()
    await lab.turns(1)
    lab.check(await lab.owner_of(waiting) is not full, "the new worker took the third")


async def _generations(lab: Lab) -> dict[str, int]:
    return {talk.id: await lab.generation_of(talk) for talk in lab.talks}


def _set(clock: str, step_s: int) -> None:
    """What libfaketime reads before each look at the clock."""
    Path(clock).write_text(f"{step_s:+d}", "ascii")


def _outcome(talk: Talk, turn: int) -> str:
    outcomes = [
        str(one.event["outcome"])
        for one in talk.viewers[0].record
        if one.turn == turn and one.event and one.event.get("type") == "turn_ended"
    ]
    return outcomes[-1] if outcomes else "none"


async def _until_metric(lab: Lab, child: Child, name: str, value: float, within_s: float = 8.0) -> None:
    await eventually(lambda: lab.metric([child], name), within_s, until=lambda found: found == value)


async def _until_sessions(lab: Lab, at_most: int, within_s: float = 5.0) -> None:
    """Motion sessions that are no longer used are closed."""
    try:
        await eventually(
            lambda: lab.simulator("connections"),
            within_s,
            until=lambda found: len(found["sessions"]) <= at_most,
        )
    except TimeoutError:
        lab.problems.append(f"more than {at_most} Motion sessions stay open")

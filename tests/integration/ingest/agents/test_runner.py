"""Agents beside a real owner: real Redis, the real SDK against the stand-in; on every server."""

import asyncio
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.rigs.audio import RATE
from tests.rigs.eventually import eventually
from tests.rigs.ingest import open_workers
from tests.rigs.store import at_clean_store

from relay_ingest.agents.events import Interrupted, Started, Text
from relay_ingest.agents.runner import FAILURES
from relay_wire import events, uplink
from relay_wire.frame import Kind

EXAMPLES = Path(__file__).parents[3] / "example_agents"
TENTH = b"\x01\x02" * 1600


@pytest.fixture
def open_rig(open_store):
    """``async with open_rig() as rig``: see ``open_workers``."""
    return at_clean_store(open_store, open_workers)


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The example package as an installed one; and its agents with faults."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import troubled  # type: ignore[import-not-found]  # found only now

    troubled.Slow.gate = asyncio.Semaphore(0)
    for written in (troubled.Slow.events, troubled.Slow.spoken, troubled.Slow.closed):
        written.clear()
    yield troubled
    for name in ("troubled", "toner"):
        sys.modules.pop(name, None)


async def test_the_example_answers(open_rig, examples) -> None:
    """A package's agent, found by its name: a transcript at once, then a turn with motion."""
    async with open_rig(agents=("toner",)) as rig, rig.worker():
        keys = await rig.converse("toner")
        await rig.up.append(keys, uplink.Text("hello"))

        assert await rig.until_outcome(keys, 1) == "complete"
        assert events.Transcript("user", "hello") in await rig.published(keys)
        assert len(await rig.audio(keys, 1)) == 5 * RATE * 2 // 10
        motion = [f for f in await rig.frames(keys) if f.kind is Kind.MOTION]
        assert motion[-1].is_end


async def test_echo_repeats_its_input(open_rig) -> None:
    """Nothing before the end of it; then all of it, with motion; and again in the next turn."""
    async with open_rig() as rig, rig.worker():
        keys = await rig.converse("echo", talk_over="always")
        for turn in (1, 2):
            spoken = [bytes([turn, index]) * 800 for index in range(10)]
            for pcm in spoken:
                await rig.up.append(keys, uplink.Microphone(pcm))
            await rig.up.append(keys, uplink.Microphone(b"", end=True))

            assert await rig.until_outcome(keys, turn) == "complete"
            assert await rig.audio(keys, turn) == b"".join(spoken)
        # The first word of the second utterance stopped what still played of the first.
        assert (await rig.published(keys, 1))[-1] == events.Interrupted("viewer")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A directory with two clips."""
    with wave.open(str(tmp_path / "hello.wav"), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE)
        wav.writeframes(TENTH * 10)
    (tmp_path / "bye.pcm").write_bytes(TENTH * 5)
    return tmp_path


async def test_clips_are_played(open_rig, clips: Path) -> None:
    """By name, the one requested last; an unknown clip is an error event."""
    async with open_rig(agent_clips_dir=str(clips)) as rig, rig.worker():
        keys = await rig.converse("clips", talk_over="requests")
        await rig.up.append(keys, uplink.ClipRequest("../hello"))
        await rig.until(keys, events.Error("unknown_clip", "there is no such clip", retryable=False))
        await rig.up.append(keys, uplink.ClipRequest("hello"))
        assert await rig.until_outcome(keys, 1) == "complete"
        await rig.up.append(keys, uplink.ClipRequest("bye.pcm"))
        assert await rig.until_outcome(keys, 2) == "complete"

        assert await rig.audio(keys, 1) == TENTH * 10
        assert await rig.audio(keys, 2) == TENTH * 5
        assert (await rig.published(keys, 1)).count(events.Interrupted("viewer")) == 1


@pytest.mark.parametrize(
    ("agent", "text", "code", "settings"),
    [
        ("raises", "go", "agent_failed", {}),
        ("exits", "1", "agent_failed", {}),
        ("hangs", "speak", "agent_timeout", {"agent_timeout_s": 0.3}),
        ("hangs", "listen", "agent_timeout", {"agent_timeout_s": 0.3}),
        ("nobody", "go", "unknown_agent", {}),
    ],
)
async def test_a_failing_agent(open_rig, examples, agent, text, code, settings) -> None:
    """It is stopped and counted, viewers receive an error, its turn ends; the backend continues."""
    failures = FAILURES.labels(code)._value
    before = failures.get()
    async with open_rig(agents=("raises", "exits", "hangs"), **settings) as rig, rig.worker():
        keys = await rig.converse(agent)
        await rig.up.append(keys, uplink.Text(text))
        await rig.up.append(keys, uplink.Text("and then?"))

        async def found() -> list[events.Error]:
            return [event for event in await rig.published(keys) if isinstance(event, events.Error)]

        errors = await eventually(found, within_s=20)
        assert [error.code for error in errors] == [code]
        await eventually(lambda: rig.up.accepts(keys), until=lambda accepts: accepts == "-")
        assert "secret" not in errors[0].message
        assert failures.get() == before + 1

        begun = text in ("speak", "go") and agent != "nobody"
        if begun:
            assert await rig.until_outcome(keys, 1) == "complete"
            assert await rig.audio(keys, 1) == TENTH
        spoken = await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True, barge_in=True)
        assert await rig.until_outcome(keys, spoken.turn) == "complete"


async def test_a_flooding_agent(open_rig, examples) -> None:
    """Each speech ends at its longest, the next waits its turn, and others are served meanwhile."""
    async with open_rig(agents=("floods", "echo"), agent_speech_s=2.0) as rig, rig.worker():
        noisy, other = await rig.converse("floods"), await rig.converse("echo")
        assert await rig.until_outcome(noisy, 1) in ("complete", "audio_only")
        assert await rig.audio(noisy, 1) == TENTH * 20

        await rig.up.append(other, uplink.Microphone(TENTH, end=True))
        assert await rig.until_outcome(other, 1) == "complete"
        assert await rig.store.client.execute("XLEN", noisy.up) <= 4096 + 1


async def test_an_interrupt_closes_the_speech(open_rig, examples, eventually) -> None:
    """The running generator is closed, viewers receive one event, and no more of it is published."""
    async with open_rig(agents=("slow",)) as rig, rig.worker():
        keys = await rig.converse("slow")
        await rig.up.append(keys, uplink.Text("one"))
        examples.Slow.gate.release()
        await eventually(lambda: rig.audio(keys, 1), 10)
        await rig.up.append(keys, uplink.Interrupt(reason="viewer"))
        await eventually(lambda: examples.Slow.spoken)
        assert (examples.Slow.spoken, examples.Slow.closed) == ([False], ["one"])

        await rig.up.append(keys, uplink.Text("two"))
        for _ in range(10):
            examples.Slow.gate.release()
        assert await rig.until_outcome(keys, 2) == "complete"
        assert await rig.until_outcome(keys, 1) == "interrupted"
        assert await rig.audio(keys, 1) == TENTH
        assert await rig.audio(keys, 2) == TENTH * 10
        assert sum(isinstance(event, events.Interrupted) for event in await rig.published(keys)) == 1
        assert examples.Slow.events == [
            Started(resumed=False),
            Text("one"),
            Interrupted("viewer"),
            Text("two"),
        ]


async def test_a_backend_barges_in(open_rig, examples, eventually) -> None:
    """The agent's speech ends, also one that has not begun; the backend's turn is published."""
    async with open_rig(agents=("slow",)) as rig, rig.worker():
        keys = await rig.converse("slow")
        await rig.up.append(keys, uplink.Text("one"))
        await eventually(lambda: Text("one") in examples.Slow.events)
        await rig.up.append_speech(keys, offset=0, pcm=TENTH, end=True, barge_in=True)
        await eventually(lambda: examples.Slow.spoken)

        assert await rig.until_outcome(keys, 1) == "complete"
        assert examples.Slow.spoken == [False]
        assert examples.Slow.events[-1] == Interrupted("barge_in")


async def test_an_owner_change_in_the_middle(open_rig, examples, eventually) -> None:
    """The new owner ends the turn with what is in it and starts an agent of its own; the old owner, which
    does not know yet, cannot append another chunk.
    """
    async with open_rig(agents=("slow",), lease_ms=60_000) as rig, rig.worker(worker_name="old") as old:
        keys = await rig.converse("slow")
        await rig.up.append(keys, uplink.Text("one"))
        examples.Slow.gate.release()
        await eventually(lambda: rig.audio(keys, 1), 10)
        async with rig.worker(worker_name="new"):
            old._draining = True  # It claims nothing again.
            await rig.store.client.execute("DEL", keys.lease)
            await rig.store.client.execute("XADD", keys.unowned, "*", "c", keys.id)
            await rig.store.client.execute("SPUBLISH", keys.unowned, "")
            await rig.until(keys, events.Transcript("assistant", "resumed=True"))
            await eventually(lambda: examples.Slow.closed == ["one"])

            assert await rig.until_outcome(keys, 1) == "audio_only"
            assert await rig.audio(keys, 1) == TENTH
            await rig.up.append(keys, uplink.Text("two"))
            for _ in range(10):
                examples.Slow.gate.release()
            assert await rig.until_outcome(keys, 2) == "complete"
            assert await rig.audio(keys, 2) == TENTH * 10

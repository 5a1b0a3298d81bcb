"""Agents in real workers: a package found on their path, and a worker that dies in the middle of a speech."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from relay_wire import events
from relay_wire.frame import Kind

EXAMPLES = Path(__file__).parent.parent / "example_agents"
TENTH = b"\x01\x02" * 1600


@pytest.fixture
def installed() -> dict[str, Any]:
    """Settings of a relay whose workers have the example package."""
    path = os.pathsep.join([str(EXAMPLES), os.environ.get("PYTHONPATH", "")])
    return {"settings": {"PYTHONPATH": path, "RELAY_AGENTS": "paced"}}


async def test_a_worker_dies_while_its_agent_speaks(relay, installed, watching, eventually) -> None:
    """The turn ends with the audio appended so far; the next worker's agent answers the next text."""
    async with relay(gateways=1, **installed) as r:
        conversation = await r.converse(avatar_id="answered", agent="paced")
        seen = await r.watch(conversation)
        async with watching(seen):
            await seen.viewer.send_text("60")
            await eventually(lambda: seen.of(Kind.MOTION, 1))
            (await r.owner_of(conversation)).signal(signal.SIGKILL)
            await eventually(lambda: 1 in seen.outcomes)
            await seen.viewer.send_text("1")
            await eventually(lambda: 2 in seen.outcomes)
            await r.backend.end(conversation)

        seen.assert_whole()
        assert seen.outcomes == {1: "audio_only", 2: "complete"}
        assert seen.audio(1) == TENTH * (len(seen.audio(1)) // len(TENTH))
        assert 0 < len(seen.audio(1)) < 600 * len(TENTH)
        assert sum(f.is_end for f in seen.of(Kind.AUDIO, 1)) == 1
        assert seen.audio(2) == TENTH * 10
        assert seen.motion(2)


async def test_a_text_talks_over_the_agent(relay, installed, watching, eventually) -> None:
    """A viewer's next text interrupts the avatar without an interrupt of its own."""
    async with relay(gateways=1, workers=1, **installed) as r:
        conversation = await r.converse(avatar_id="talked-over", agent="paced")
        seen = await r.watch(conversation)
        async with watching(seen):
            await seen.viewer.send_text("60")
            await eventually(lambda: seen.of(Kind.MOTION, 1))
            await seen.viewer.send_text("1")
            await eventually(lambda: 2 in seen.outcomes)
            await r.backend.end(conversation)

        assert seen.outcomes == {1: "interrupted", 2: "complete"}
        assert seen.events_of(1).count(events.Interrupted("viewer")) == 1
        assert seen.audio(2) == TENTH * 10

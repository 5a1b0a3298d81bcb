"""Faults of backends: an app backend whose connection breaks while it speaks."""

import asyncio
import random
import secrets
from contextlib import suppress

from tests.faults.lab import Lab, Talk
from tests.faults.scenario import scenario
from tests.faults.speaker import SAMPLE_RATE
from tests.faults.truth import Spoken

from relay_wire.pcm import chunk_bytes

_CUTS = 6


@scenario("A backend whose connection breaks resumes at the acknowledged byte; audio enters once.",
          bound_ms=1000, fast=True, turn_ms=3000, conversations=2)  # fmt: skip
async def audio_socket_cut(lab: Lab) -> None:
    noise = random.Random(1)
    for _ in range(_CUTS):
        await asyncio.sleep(noise.uniform(0.3, 0.9))
        lab.mark()
        for talk in lab.talks:
            talk.speaker.cut()
    await lab.turns(1)
    resumed = sum(talk.speaker.resumed for talk in lab.talks)
    lab.notes["resumed"] = resumed
    lab.check(resumed >= _CUTS, f"turns continued over other connections, not {resumed} times only")


@scenario(
    "A repeated POST with the same Idempotency-Key speaks its turn once.", bound_ms=1000, conversations=2
)
async def post_repeated(lab: Lab) -> None:
    for talk in lab.talks:
        talk.speaker.hold()
    await lab.until(lambda: all(talk.speaker.silent for talk in lab.talks), "silence")
    lab.mark()
    for talk in lab.talks:
        for number in range(3):
            await _post_again_and_again(lab, talk, number)
        await lab.until(lambda talk=talk: talk.ended >= talk.turn, "the posted turns")  # type: ignore[misc]
        talk.speaker.go_on()
    await lab.turns(1)


async def _post_again_and_again(lab: Lab, talk: Talk, number: int) -> None:
    """Post a turn, cut in the middle of the request or of its answer; then to its end, twice."""
    noise = random.Random(f"{talk.id}{number}")
    pcm = noise.randbytes(chunk_bytes(1000, SAMPLE_RATE))
    key = secrets.token_urlsafe(12)
    for _ in range(4):
        with suppress(TimeoutError):
            async with asyncio.timeout(noise.uniform(0.001, 0.03)):
                await lab.backend.post_turn(talk.id, pcm, key=key)
    first = await lab.backend.post_turn(talk.id, pcm, key=key)
    again = await lab.backend.post_turn(talk.id, pcm, key=key)
    lab.check(first.turn == again.turn, f"a repetition names the same turn: {first} {again}")
    talk.speaker.spoken[first.turn] = Spoken(pcm, acknowledged=True)

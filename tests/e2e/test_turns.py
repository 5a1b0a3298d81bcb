"""The whole way, through real processes: posted speech arrives at every viewer, byte for byte.

One relay for all of these tests, which leave its processes as they are; those of ``test_relay`` do not.
"""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.e2e.conftest import Relay, open_relay
from tests.rigs.redis_server import Server

from relay_wire import events
from relay_wire.frame import Kind

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("e2e_turns")]

PLANTED = {"SPATIUS_API_KEY": "planted-vendor-key", "RELAY_LOG_LEVEL": "debug"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def r(redis_server: Server) -> AsyncIterator[Relay]:
    """The relay."""
    async with open_relay(redis_server.url, speed=2.0, settings=PLANTED) as opened:
        yield opened


@pytest.mark.every_server
async def test_two_viewers_on_two_gateways(r: Relay, speech, watching, eventually) -> None:
    """Audio, motion, order and outcomes; one viewer is cut in every turn and resumes on the other gateway."""
    conversation = await r.converse(avatar_id="two-viewers")
    first, second = await r.watch(conversation, 0), await r.watch(conversation, 1)
    async with watching(first, second):
        for turn in (1, 2, 3):
            await r.backend.post_turn(conversation, speech)
            await eventually(lambda turn=turn: second.of(Kind.MOTION, turn))
            second.viewer.cut()
            await eventually(lambda turn=turn: first.outcomes.get(turn) and second.outcomes.get(turn))
        await r.backend.end(conversation)

    motion = await r.expected_motion(speech, "two-viewers")
    for seen in (first, second):
        seen.assert_whole()
        assert seen.outcomes == {1: "complete", 2: "complete", 3: "complete"}
        assert seen.audio() == speech * 3
        assert [seen.motion(turn) for turn in (1, 2, 3)] == motion
        assert seen.events_of()[-1] == events.ConversationEnded("deleted")
    assert second.viewer.report.resumes == 3
    sessions = (await r.simulator("GET", "sessions"))["sessions"]
    own = [session for session in sessions if session["avatar_id"] == "two-viewers"]
    assert len(own) == 1, "one Motion session for all turns"


async def test_live_speech(r: Relay, speech, watching, eventually) -> None:
    """Chunks as they are synthesised, cut anywhere."""
    conversation = await r.converse(avatar_id="live")
    seen = await r.watch(conversation)
    async with watching(seen):
        pieces = [speech[start : start + 777] for start in range(0, len(speech), 777)]
        async with r.backend.speech(conversation) as stream:
            for piece in pieces:
                await stream.send(piece)
        assert stream.turn == 1
        await eventually(lambda: seen.outcomes)
        await r.backend.end(conversation)

    assert seen.audio() == speech
    assert [seen.motion()] == await r.expected_motion(speech, "live")


async def test_every_sample_rate(r: Relay, watching, eventually) -> None:
    """A conversation at each rate the vendor takes, all at once."""

    async def one(rate: int) -> None:
        pcm = bytes(index % 241 for index in range(rate * 2))
        conversation = await r.converse(avatar_id=f"rate-{rate}", sample_rate=rate)
        seen = await r.watch(conversation, rate % 2)
        async with watching(seen):
            await r.backend.post_turn(conversation, pcm)
            await eventually(lambda: seen.outcomes)
            await r.backend.end(conversation)
        assert seen.viewer.hello.sample_rate == rate
        assert seen.audio() == pcm
        assert [seen.motion()] == await r.expected_motion(pcm, f"rate-{rate}")
        assert seen.of(Kind.EVENT)[-2].media_ms == 1000

    await asyncio.gather(*(one(rate) for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000)))


async def test_an_interrupt_stops_everything(r: Relay, speech, watching, eventually) -> None:
    """From a viewer, in mid-turn: one closing audio, one `interrupted`, no motion of that turn after it."""
    conversation = await r.converse(avatar_id="interrupted")
    seen = await r.watch(conversation)
    async with watching(seen):
        await r.backend.post_turn(conversation, speech * 4)
        await r.backend.post_turn(conversation, speech)  # waits behind it
        await eventually(lambda: seen.of(Kind.MOTION, 1))
        await seen.viewer.interrupt()
        await eventually(lambda: 1 in seen.outcomes)
        await r.backend.post_turn(conversation, speech)
        await eventually(lambda: 3 in seen.outcomes)
        await r.backend.end(conversation)

    seen.assert_whole()
    assert seen.outcomes == {1: "interrupted", 3: "complete"}
    assert [type(event).__name__ for event in seen.events_of(1)] == [
        "TurnStarted",
        "Interrupted",
        "TurnEnded",
    ]
    assert sum(f.is_end for f in seen.of(Kind.AUDIO, 1)) == 1
    assert seen.audio(3) == speech
    assert len(seen.motion(3)) == 3


async def test_a_turn_waits_for_the_one_before(r: Relay, speech, watching, eventually) -> None:
    """Without any report the next turn begins when the first has played; barging in does not wait."""
    conversation = await r.converse(avatar_id="waiting")
    seen = await r.watch(conversation)
    seen.finish = False
    async with watching(seen):
        await r.backend.post_turn(conversation, speech)
        await r.backend.post_turn(conversation, speech)
        await eventually(lambda: 2 in seen.outcomes)
        await r.backend.post_turn(conversation, speech, barge_in=True)
        await eventually(lambda: 3 in seen.outcomes)
        await r.backend.end(conversation)

    starts = {
        f.turn: f.published_at_us
        for f in seen.of(Kind.EVENT)
        if isinstance(events.decode(f.payload), events.TurnStarted)
    }
    assert starts[2] - starts[1] >= 3_000_000
    assert events.Interrupted("barge_in") in seen.events_of(2)
    assert seen.audio(2) == speech


async def test_motion_that_fails_leaves_a_talking_avatar(r: Relay, speech, watching, eventually) -> None:
    """The turn continues as audio, with an event; the next one has motion again."""
    conversation = await r.converse(avatar_id="failing")
    seen = await r.watch(conversation)
    await r.simulator("POST", "faults", at="session", fault="close", code=1011, avatar_id="failing")
    async with watching(seen):
        for turn in (1, 2):
            await r.backend.post_turn(conversation, speech)
            await eventually(lambda turn=turn: turn in seen.outcomes)
        await r.backend.end(conversation)

    assert seen.outcomes == {1: "audio_only", 2: "complete"}
    assert seen.audio() == speech * 2
    assert [type(event).__name__ for event in seen.events_of(1)] == [
        "TurnStarted",
        "Error",
        "AudioOnly",
        "TurnEnded",
    ]
    assert seen.motion(1)[-1] == b""
    assert len(seen.motion(2)) == 3


async def test_admin_ports(r: Relay) -> None:
    """Alive, ready, measured; none of it on the public ports."""
    for child in r.stack.children:
        async with r.http.get(f"{child.admin}/livez") as response:
            assert (response.status, await response.json()) == (200, {"status": "alive"})
        async with r.http.get(f"{child.admin}/readyz") as response:
            assert (response.status, await response.json()) == (200, {"status": "ready"})
        async with r.http.get(f"{child.admin}/metrics") as response:
            text = await response.text()
            assert "relay_build_info{" in text
            assert "relay_ready 1.0" in text
    async with r.http.get(f"{r.stack.control.url}/metrics") as response:
        assert response.status == 404
    async with r.http.get(r.stack.gateways[0].url.replace("ws", "http") + "/metrics") as response:
        assert response.status == 404


async def test_logs_are_structured_and_keep_secrets(r: Relay, speech, watching, eventually) -> None:
    """Every line is JSON with a message and a service; no key, token or password in any of them."""
    conversation = await r.converse()
    token = (await r.backend.token(conversation)).token
    seen = await r.watch(conversation)
    async with watching(seen):
        await r.backend.post_turn(conversation, speech)
        await eventually(lambda: seen.outcomes)
        await r.backend.end(conversation)
    logs = r.logs()
    lines = [json.loads(line) for line in logs.splitlines() if line]

    assert len(lines) >= len(r.stack.children)
    assert all({"event", "service", "level", "timestamp"} <= line.keys() for line in lines)
    for secret in (
        "planted-vendor-key",
        r.stack.api_key,
        token,
        r.stack._environment["RELAY_TOKEN_SECRET"],
    ):
        assert secret not in logs

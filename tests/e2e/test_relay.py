"""The whole way, through real processes: posted speech arrives at every viewer, byte for byte."""

import asyncio
import json
import signal

import pytest

from relay_cli.stack import Stack
from relay_client import Backend, RequestRefused
from relay_redis.client import RedisClient
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_wire import events
from relay_wire.frame import Kind


@pytest.mark.every_server
async def test_two_viewers_on_two_gateways(relay, speech, watching, eventually) -> None:
    """Audio, motion, order and outcomes; one viewer is cut in every turn and resumes on the other gateway."""
    async with relay() as r:
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
        assert (await r.simulator("GET", "connections"))["opened"] == 1, "one Motion session for all turns"


async def test_two_relays_in_one_database(relay, speech, watching, eventually) -> None:
    """With prefixes of their own they do not see each other: no key, owner or API key is shared."""
    async with relay(gateways=1, workers=1) as r:
        settings = {"RELAY_KEY_PREFIX": "other"}
        other = Stack(redis_url=r.stack.redis_url, gateways=1, workers=1, speed=10, settings=settings)
        async with other, Backend(other.control.url, other.api_key) as backend:
            theirs = (await backend.create()).id
            with pytest.raises(RequestRefused) as refused:
                await r.backend.read(theirs)
            assert refused.value.status == 404
            with pytest.raises(RequestRefused) as refused:
                await r.backend.post_turn(theirs, speech)
            assert refused.value.status == 404
            owned = await eventually(lambda: backend.read(theirs), 20, until=lambda found: found.owner)
            assert owned.owner == other.workers[0].addresses["worker"]
            async with RedisClient(r.stack.redis_url, SCHEMA, name="test") as client:
                keys = await client.execute("KEYS", "*")
        assert {key.split(b":")[0] for key in keys} == {b"relay", b"other"}
        assert all(key.startswith(b"other:") for key in keys if theirs.encode() in key)


async def test_live_speech(relay, speech, watching, eventually) -> None:
    """Chunks as they are synthesised, cut anywhere."""
    async with relay() as r:
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


async def test_every_sample_rate(relay, watching, eventually) -> None:
    """A conversation at each rate the vendor takes, all at once."""
    async with relay() as r:

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


async def test_an_interrupt_stops_everything(relay, speech, watching, eventually) -> None:
    """From a viewer, in mid-turn: one closing audio, one `interrupted`, no motion of that turn after it."""
    async with relay(speed=2.0) as r:
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


async def test_a_turn_waits_for_the_one_before(relay, speech, watching, eventually) -> None:
    """Without any report the next turn begins when the first has played; barging in does not wait."""
    async with relay() as r:
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


async def test_motion_that_fails_leaves_a_talking_avatar(relay, speech, watching, eventually) -> None:
    """The turn continues as audio, with an event; the next one has motion again."""
    async with relay() as r:
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


async def test_a_refusal_of_the_vendor_reaches_viewers(relay, speech, watching, eventually) -> None:
    """A wrong key, an unknown avatar and a large payload: published, counted, in its conversation alone."""
    async with relay(settings={"RELAY_SIMULATOR_ACCEPTED_KEY": "right", "SPATIUS_API_KEY": "wrong"}) as r:
        conversation = await r.converse(avatar_id="refused")
        seen = await r.watch(conversation)
        async with watching(seen):
            await r.backend.post_turn(conversation, speech)
            await eventually(lambda: seen.outcomes)
            await r.backend.end(conversation)

        [error] = [event for event in seen.events_of(1) if isinstance(event, events.Error)]
        assert (error.code, error.retryable) == ("apiKeyRefused", False)
        assert seen.outcomes == {1: "audio_only"}
        assert seen.audio() == speech
        assert await r.metric(r.stack.workers, "relay_motion_failures_total", phase="session_token") == 1

    async with relay(settings={"RELAY_SIMULATOR_AVATARS": "good"}) as r:
        good, bad = await r.converse(avatar_id="good"), await r.converse(avatar_id="unknown")
        seen_good, seen_bad = await r.watch(good), await r.watch(bad)
        await r.simulator("POST", "faults", at="session", fault="huge", avatar_id="good", after_payloads=2)
        async with watching(seen_good, seen_bad):
            await asyncio.gather(r.backend.post_turn(good, speech), r.backend.post_turn(bad, speech))
            await eventually(lambda: seen_good.outcomes and seen_bad.outcomes)
            await r.backend.post_turn(good, speech)
            await eventually(lambda: 2 in seen_good.outcomes)
            await asyncio.gather(r.backend.end(good), r.backend.end(bad))

        assert [e.code for e in seen_bad.events_of(1) if isinstance(e, events.Error)] == ["avatarNotFound"]
        assert seen_good.outcomes == {1: "audio_only", 2: "complete"}
        assert events.AudioOnly("motion_too_large") in seen_good.events_of(1)
        assert seen_good.audio() == speech * 2
        assert seen_bad.audio() == speech
        assert await r.metric(r.stack.workers, "relay_ingest_discarded_total", reason="too_large") == 1


async def test_an_owner_that_replaces_itself(relay, speech, watching, eventually) -> None:
    """Its lease ran out unnoticed, and it claims first what it owned: it continues in a new generation."""
    put_up = """redis.call('DEL', KEYS[1]) redis.call('XADD', KEYS[2], '*', 'c', ARGV[1])
                redis.call('SPUBLISH', KEYS[2], '')"""
    async with relay(workers=1, speed=1.0) as r:
        conversation = await r.converse(avatar_id="again")
        seen = await r.watch(conversation)
        async with watching(seen), RedisClient(r.stack.redis_url, SCHEMA, name="test") as client:
            await r.backend.post_turn(conversation, speech * 3)
            await eventually(lambda: seen.of(Kind.MOTION, 1))
            keys = KeySpace().conversation(conversation)
            generation = await client.execute("HGET", keys.meta, "generation")
            while await client.execute("HGET", keys.meta, "generation") == generation:
                # A renewal may come first, and then it has never lost it.
                await client.execute("EVAL", put_up, 2, keys.lease, keys.unowned, conversation)
                while not await client.execute("EXISTS", keys.lease):
                    await asyncio.sleep(0.002)
            await eventually(lambda: 1 in seen.outcomes, within_s=20)
            await r.backend.post_turn(conversation, speech)
            await eventually(lambda: 2 in seen.outcomes, within_s=20)
            await r.backend.end(conversation)

        seen.assert_whole()
        assert r.stack.workers[0].alive
        assert len({f.generation for f in seen.frames}) == 2
        assert seen.audio() == speech * 4
        assert seen.outcomes == {1: "audio_only", 2: "complete"}


@pytest.mark.every_server
async def test_a_dead_owner_is_replaced(relay, speech, watching, eventually) -> None:
    """SIGKILL in mid-turn: another worker claims it, audio continues once, the next turn has motion."""
    async with relay(speed=1.0) as r:
        conversation = await r.converse(avatar_id="orphan")
        seen = await r.watch(conversation)
        async with watching(seen):
            await r.backend.post_turn(conversation, speech * 3)
            await eventually(lambda: seen.of(Kind.MOTION, 1))
            victim = await r.owner_of(conversation)
            victim.signal(signal.SIGKILL)
            await eventually(lambda: 1 in seen.outcomes)
            await r.backend.post_turn(conversation, speech)
            await eventually(lambda: 2 in seen.outcomes, within_s=20)  # the first has to have played
            await r.backend.end(conversation)

        seen.assert_whole()
        assert seen.outcomes == {1: "audio_only", 2: "complete"}
        assert seen.audio(1) == speech * 3
        assert sum(f.is_end for f in seen.of(Kind.AUDIO, 1)) == 1
        assert len({f.generation for f in seen.frames}) == 2
        assert len(seen.motion(2)) == 3


async def test_a_clean_stop(relay, speech, watching, eventually) -> None:
    """SIGTERM: every process ends with status 0, and the worker hands its conversation over first."""
    async with relay() as r:
        conversation = await r.converse(avatar_id="handed-over")
        seen = await r.watch(conversation)
        async with watching(seen):
            await r.backend.post_turn(conversation, speech)
            await eventually(lambda: 1 in seen.outcomes)
            leaving = await r.owner_of(conversation)
            assert await leaving.stop() == 0
            await r.backend.post_turn(conversation, speech)
            await eventually(lambda: 2 in seen.outcomes)
            await r.backend.end(conversation)
        assert seen.outcomes == {1: "complete", 2: "complete"}
        assert seen.audio() == speech * 2

        statuses = await asyncio.gather(*(child.stop() for child in r.stack.children if child is not leaving))
        assert set(statuses) == {0}


async def test_admin_ports(relay) -> None:
    """Alive, ready, measured; none of it on the public ports."""
    async with relay() as r:
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


async def test_logs_are_structured_and_keep_secrets(relay, speech, watching, eventually) -> None:
    """Every line is JSON with a message and a service; no key, token or password in any of them."""
    planted = {"SPATIUS_API_KEY": "planted-vendor-key", "RELAY_LOG_LEVEL": "debug"}
    async with relay(settings=planted) as r:
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

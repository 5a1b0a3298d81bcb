"""Relays with settings of their own, and what becomes of a conversation whose processes end."""

import asyncio
import signal

import pytest

from relay_cli.stack import Stack
from relay_client import Backend, RequestRefused
from relay_redis.client import RedisClient
from relay_streams.keys import KeySpace
from relay_streams.scripts import SCHEMA
from relay_wire import events
from relay_wire.frame import Kind


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


async def test_a_refusal_of_the_vendor_reaches_viewers(relay, speech, watching, eventually) -> None:
    """A wrong key, an unknown avatar and a large payload: published, counted, in its conversation alone."""
    wrong_key = {"RELAY_SIMULATOR_ACCEPTED_KEY": "right", "SPATIUS_API_KEY": "wrong"}
    async with relay(gateways=1, workers=1, settings=wrong_key) as r:
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

    async with relay(gateways=1, workers=1, settings={"RELAY_SIMULATOR_AVATARS": "good"}) as r:
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
    async with relay(gateways=1, workers=1, speed=1.0) as r:
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
    async with relay(gateways=1, speed=1.0) as r:
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

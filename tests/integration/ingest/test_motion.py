"""Motion: the real SDK against the simulator, its traps and every fault of facts 12."""

import asyncio
import os
from itertools import chain

import pytest
import spatius.telemetry
from spatius import AvatarSession
from tests.rigs.audio import SECOND
from tests.rigs.metrics import metric
from tests.rigs.motion import open_motion

from relay_ingest.motion.client import MESSAGE_BYTES, MotionLimits
from relay_ingest.motion.pool import CREDITS, SESSION_SECONDS


async def test_motion_arrives_byte_for_byte(eventually) -> None:
    """Every payload as it was sent, with its request's id, the last one marked."""
    async with open_motion() as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        req_id = rig.received.requests[1]
        assert rig.received.payloads == {req_id: await rig.expected()}
        assert rig.received.lasts == [req_id]
        assert rig.received.order[0] == "opened 1"


async def test_speech_that_is_there_at_once_goes_in_few_messages(eventually, monkeypatch) -> None:
    """All of a turn in order, no turn with another."""
    sent: list[tuple[int, bool]] = []
    send = AvatarSession.send_audio

    async def listening(session: AvatarSession, pcm: bytes, end: bool = False) -> str:  # noqa: FBT001, FBT002
        sent.append((len(pcm), end))
        return await send(session, pcm, end=end)

    monkeypatch.setattr(AvatarSession, "send_audio", listening)
    chunk = len(SECOND) // 10
    async with open_motion() as rig:
        for turn in (1, 2):
            for start in range(0, len(SECOND), chunk):
                rig.motion.send_audio(turn, SECOND[start : start + chunk], end=False)
            rig.motion.send_audio(turn, SECOND, end=True)
        await eventually(lambda: len(rig.received.lasts) == 2)

        assert sent == [(len(SECOND), False), (len(SECOND), True)] * 2
        assert len(SECOND) <= MESSAGE_BYTES
        assert list(chain.from_iterable(rig.received.payloads.values())) == await rig.expected()


async def test_one_session_serves_many_turns(eventually) -> None:
    """Each turn has a request of its own; the session is opened once."""
    async with open_motion() as rig:
        for turn in range(1, 6):
            rig.motion.send_audio(turn, SECOND, end=True)
            await eventually(lambda turn=turn: len(rig.received.lasts) == turn)

        assert len(set(rig.received.requests.values())) == 5
        assert [p for payloads in rig.received.payloads.values() for p in payloads] == await rig.expected()
        assert await rig.opened() == 1


async def test_answers_that_overtake_the_send(eventually) -> None:
    """However fast the answer, the listener knows the request before its first payload."""
    async with open_motion() as rig:
        for turn in range(1, 21):
            rig.motion.send_audio(turn, SECOND, end=True)
        await eventually(lambda: len(rig.received.lasts) == 20)

        known: set[str] = set()
        for what in rig.received.order:
            kind, name = what.split()
            if kind == "opened":
                known.add(rig.received.requests[int(name)])
            else:
                assert name in known


async def test_an_abandoned_turn_does_not_leak_into_the_next(eventually) -> None:
    """The open request is ended, so the next turn's audio opens another."""
    async with open_motion() as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: 1 in rig.received.requests)
        rig.motion.abandon(1)
        rig.motion.send_audio(2, SECOND, end=True)
        await eventually(
            lambda: 2 in rig.received.requests and rig.received.requests[2] in rig.received.lasts
        )

        assert rig.received.requests[1] != rig.received.requests[2]
        requests = (await rig.admin("GET", "requests"))["requests"]
        assert [request["audio_bytes"] for request in requests] == [len(SECOND)] * 2
        assert await rig.opened() == 1


async def test_what_waits_of_an_abandoned_turn_is_dropped(eventually) -> None:
    """Audio that was not sent yet never is."""
    async with open_motion() as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        rig.motion.abandon(1)
        rig.motion.send_audio(2, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert [r["audio_bytes"] for r in (await rig.admin("GET", "requests"))["requests"]] == [len(SECOND)]
        assert list(rig.received.requests) == [2]


async def test_an_idle_session_is_closed(eventually) -> None:
    """Connected silence is billed; the next audio opens another."""
    billed, lives = metric(CREDITS), metric(SESSION_SECONDS, le="+Inf")
    async with open_motion(limits=MotionLimits(idle_s=0.1, session_s=100, queue_bytes=1_000_000)) as rig:
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)
        await eventually(rig.sessions, 5, until=lambda found: not found)
        rig.motion.send_audio(2, SECOND, end=True)
        await eventually(lambda: len(rig.received.lasts) == 2)

        assert await rig.opened() == 2
        assert rig.received.failures == []
        assert (metric(CREDITS), metric(SESSION_SECONDS, le="+Inf")) == (billed + 1, lives + 1)


async def test_an_old_session_is_replaced_between_turns(eventually) -> None:
    """Never within one."""
    async with open_motion(limits=MotionLimits(idle_s=5, session_s=0.05, queue_bytes=1_000_000)) as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        await asyncio.sleep(0.2)
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)
        assert await rig.opened() == 1
        rig.motion.send_audio(2, SECOND, end=True)
        await eventually(lambda: len(rig.received.lasts) == 2)

        assert await rig.opened() == 2
        assert rig.received.failures == []


@pytest.mark.parametrize(
    "fault", ["text", "late_frames", "duplicate_end", "interleaved", "no_motion", "missing_end"]
)
async def test_oddities_pass_to_the_listener(eventually, fault) -> None:
    """They are the turn machine's to judge: payloads arrive with the id they carry, and nothing fails."""
    async with open_motion() as rig:
        await rig.fault("session", fault, after_payloads=0)
        rig.motion.send_audio(1, SECOND, end=True)
        wanted = {"missing_end": 2, "late_frames": 3, "duplicate_end": 3, "interleaved": 3}.get(fault, 2)
        await eventually(lambda: sum(map(len, rig.received.payloads.values())) == wanted)

        assert rig.received.failures == []


async def test_a_payload_over_the_frame_limit_still_arrives(eventually) -> None:
    """800 KiB pass the SDK; refusing them is the turn machine's business."""
    async with open_motion() as rig:
        await rig.fault("session", "huge", after_payloads=0)
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert max(len(p) for p in rig.received.payloads[rig.received.requests[1]]) > 800 * 1024


async def test_closing_a_frozen_session_takes_no_time(eventually) -> None:
    """The SDK's close waits 10 s for a frozen peer; ours does not, and its late callbacks are ignored."""
    async with open_motion() as rig:
        await rig.fault("session", "freeze", after_payloads=0)
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: 1 in rig.received.requests)
        await asyncio.sleep(0.05)
        started = asyncio.get_running_loop().time()
        rig.motion.close()
        rig.motion.send_audio(2, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert asyncio.get_running_loop().time() - started < 3
        assert rig.received.failures == []


async def test_a_peer_that_reads_no_audio(eventually) -> None:
    """The send queue is bounded: beyond it motion fails, since input is never paced."""
    limits = MotionLimits(idle_s=5, session_s=100, queue_bytes=10 * len(SECOND))
    async with open_motion(limits=limits) as rig:
        await rig.fault("session", "freeze", after_payloads=0)
        rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: 1 in rig.received.requests)
        await asyncio.sleep(0.1)
        for _ in range(2000):
            rig.motion.send_audio(1, SECOND * 2, end=False)
            await asyncio.sleep(0)
            if rig.received.failures:
                break

        assert rig.received.failures[0].code == "outboxFull"


async def test_the_environments_proxies_are_not_asked(eventually, monkeypatch) -> None:
    """Neither for the token nor for the session; what the environment excepts stays excepted."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    monkeypatch.delenv("no_proxy", raising=False)
    async with open_motion() as rig:
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts or rig.received.failures)

        assert rig.received.failures == []
        assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "intranet.example,127.0.0.1"


async def test_the_vendors_telemetry_is_off(eventually) -> None:
    """No exporter was made, and nothing would be sent."""
    async with open_motion() as rig:
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert not spatius.telemetry.telemetry_enabled()
        assert spatius.telemetry._tracer_provider is None
        assert spatius.telemetry._meter_provider is None

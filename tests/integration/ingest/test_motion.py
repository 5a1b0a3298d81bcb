"""Motion: the real SDK against the simulator, its traps and every fault of facts 12."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import aiohttp
import pytest
import spatius.telemetry
from spatius import AvatarSession
from tests.rigs.audio import RATE, SECOND

from relay_ingest.motion.client import MESSAGE_BYTES, MotionClient, MotionLimits
from relay_ingest.motion.failures import MotionFailure
from relay_ingest.motion.pool import UnlimitedPool
from relay_ingest.motion.session import MotionConversation
from relay_ingest.motion.vendor import Vendor
from relay_runtime.http import listen
from relay_runtime.tasks import TaskScope
from relay_settings.ingest import IngestSettings
from relay_settings.simulator import SimulatorSettings
from relay_simulator.app import application
from relay_simulator.motion import expected_payloads

LIMITS = MotionLimits(idle_s=5, session_s=100, queue_bytes=1_000_000)


@dataclass
class Received:
    """A listener that records all calls."""

    requests: dict[int, str] = field(default_factory=dict)
    payloads: dict[str, list[bytes]] = field(default_factory=dict)
    lasts: list[str] = field(default_factory=list)
    failures: list[MotionFailure] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    """The ids of those that served, each followed by an empty one."""

    def session_opened(self, session: str, _: float) -> None:
        self.sessions.append(session)

    def session_closed(self) -> None:
        self.sessions.append("")

    def request_opened(self, turn: int, req_id: str) -> None:
        self.requests[turn] = req_id
        self.order.append(f"opened {turn}")

    def motion(self, req_id: str, payload: bytes, *, last: bool) -> None:
        self.payloads.setdefault(req_id, []).append(payload)
        self.order.append(f"motion {req_id}")
        if last:
            self.lasts.append(req_id)

    def motion_failed(self, failure: MotionFailure) -> None:
        self.failures.append(failure)
        self.order.append("failed")


@dataclass
class MotionRig:
    """The simulator, and a conversation's Motion client against it."""

    motion: MotionClient
    pool: UnlimitedPool
    received: Received
    http: aiohttp.ClientSession
    url: str

    async def admin(self, method: str, path: str, **body: Any) -> Any:
        async with self.http.request(method, f"{self.url}/admin/{path}", json=body or None) as response:
            assert response.status < 300, await response.text()
            return await response.json() if response.content_type == "application/json" else None

    async def fault(self, at: str, fault: str, **options: Any) -> None:
        await self.admin("POST", "faults", at=at, fault=fault, **options)

    async def opened(self) -> int:
        opened: int = (await self.admin("GET", "connections"))["opened"]
        return opened

    async def sessions(self) -> list[dict[str, Any]]:
        sessions: list[dict[str, Any]] = (await self.admin("GET", "connections"))["sessions"]
        return sessions

    async def expected(self) -> list[bytes]:
        """The payloads that the simulator must have sent for all requests of whole SECONDs so far."""
        requests = (await self.admin("GET", "requests"))["requests"]
        return [
            payload
            for request in requests
            for payload in expected_payloads(
                seed=1, connection_id=request["connection_id"], req_id=request["req_id"],
                sample_rate=RATE, pcm=SECOND * (request["audio_bytes"] // len(SECOND)),
            )
        ]  # fmt: skip


@pytest.fixture
def open_rig():
    """``async with open_rig(...) as rig``: everything in one process, at forty times the speed."""

    @asynccontextmanager
    async def opened(
        *, limits: MotionLimits = LIMITS, api_key: str = "right", avatar_id: str = "ava",
        sample_rate: int = RATE, **simulator: Any,
    ) -> AsyncIterator[MotionRig]:  # fmt: skip
        settings = SimulatorSettings(
            simulator_port=0,
            simulator_speed=40,
            simulator_accepted_key="right",
            simulator_avatars="ava",
            **simulator,
        )
        async with (
            listen(application(settings), "127.0.0.1", 0) as url,
            aiohttp.ClientSession() as http,
            TaskScope() as tasks,
        ):
            vendor = Vendor(
                IngestSettings.load(
                    SPATIUS_API_KEY=api_key, SPATIUS_APP_ID="app",
                    SPATIUS_CONSOLE_ENDPOINT=f"{url}/v1/console",
                    SPATIUS_INGRESS_ENDPOINT=url.replace("http", "ws") + "/v2/driveningress",
                )
            )  # fmt: skip
            received = Received()
            spawn = partial(tasks.spawn, name="motion")
            pool = UnlimitedPool(vendor, close_s=0.5, spawn=spawn)
            motion = MotionClient(
                pool, MotionConversation("c", avatar_id, sample_rate),
                listener=received, limits=limits, spawn=spawn,
            )  # fmt: skip
            yield MotionRig(motion, pool, received, http, url)
            motion.close()

    return opened


async def test_motion_arrives_byte_for_byte(open_rig, eventually) -> None:
    """Every payload as it was sent, with its request's id, the last one marked."""
    async with open_rig() as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        req_id = rig.received.requests[1]
        assert rig.received.payloads == {req_id: await rig.expected()}
        assert rig.received.lasts == [req_id]
        assert rig.received.order[0] == "opened 1"


async def test_speech_that_is_there_at_once_goes_in_few_messages(open_rig, eventually, monkeypatch) -> None:
    """All of a turn in order, no turn with another."""
    sent: list[tuple[int, bool]] = []
    send = AvatarSession.send_audio

    async def listening(session: AvatarSession, pcm: bytes, end: bool = False) -> str:  # noqa: FBT001, FBT002
        sent.append((len(pcm), end))
        return await send(session, pcm, end=end)

    monkeypatch.setattr(AvatarSession, "send_audio", listening)
    chunk = len(SECOND) // 10
    async with open_rig() as rig:
        for turn in (1, 2):
            for start in range(0, len(SECOND), chunk):
                rig.motion.send_audio(turn, SECOND[start : start + chunk], end=False)
            rig.motion.send_audio(turn, SECOND, end=True)
        await eventually(lambda: len(rig.received.lasts) == 2)

        assert sent == [(len(SECOND), False), (len(SECOND), True)] * 2
        assert len(SECOND) <= MESSAGE_BYTES
        assert list(chain.from_iterable(rig.received.payloads.values())) == await rig.expected()


async def test_one_session_serves_many_turns(open_rig, eventually) -> None:
    """Each turn has a request of its own; the session is opened once."""
    async with open_rig() as rig:
        for turn in range(1, 6):
            rig.motion.send_audio(turn, SECOND, end=True)
            await eventually(lambda turn=turn: len(rig.received.lasts) == turn)

        assert len(set(rig.received.requests.values())) == 5
        assert [p for payloads in rig.received.payloads.values() for p in payloads] == await rig.expected()
        assert await rig.opened() == 1


async def test_answers_that_overtake_the_send(open_rig, eventually) -> None:
    """However fast the answer, the listener knows the request before its first payload."""
    async with open_rig() as rig:
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


async def test_an_abandoned_turn_does_not_leak_into_the_next(open_rig, eventually) -> None:
    """The open request is ended, so the next turn's audio opens another."""
    async with open_rig() as rig:
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


async def test_what_waits_of_an_abandoned_turn_is_dropped(open_rig, eventually) -> None:
    """Audio that was not sent yet never is."""
    async with open_rig() as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        rig.motion.abandon(1)
        rig.motion.send_audio(2, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert [r["audio_bytes"] for r in (await rig.admin("GET", "requests"))["requests"]] == [len(SECOND)]
        assert list(rig.received.requests) == [2]


async def test_an_idle_session_is_closed(open_rig, eventually) -> None:
    """Connected silence is billed; the next audio opens another."""
    async with open_rig(limits=MotionLimits(idle_s=0.1, session_s=100, queue_bytes=1_000_000)) as rig:
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)
        await eventually(rig.sessions, 5, until=lambda found: not found)
        rig.motion.send_audio(2, SECOND, end=True)
        await eventually(lambda: len(rig.received.lasts) == 2)

        assert await rig.opened() == 2
        assert rig.received.failures == []


async def test_an_old_session_is_replaced_between_turns(open_rig, eventually) -> None:
    """Never within one."""
    async with open_rig(limits=MotionLimits(idle_s=5, session_s=0.05, queue_bytes=1_000_000)) as rig:
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
    ("at", "fault", "options", "code", "retryable"),
    [
        ("token", "http_401", {}, "apiKeyRefused", False),
        ("token", "http_402", {}, "billingRequired", False),
        ("token", "errors_in_ok", {}, "apiKeyRefused", False),
        ("token", "no_token", {}, "protocolError", False),
        ("token", "html", {}, "protocolError", False),
        ("upgrade", "avatar_not_found", {}, "avatarNotFound", False),
        ("upgrade", "http_402", {}, "billingRequired", False),
        ("handshake", "error_3", {}, "invalidRequest", False),
        ("handshake", "error_16", {}, "invalidEgressConfig", False),
        ("handshake", "wrong_type", {}, "protocolError", False),
        ("handshake", "text", {}, "protocolError", False),
        ("session", "error_4001", {}, "creditsExhausted", False),
        ("session", "error_4002", {}, "sessionDurationExceeded", True),
        ("session", "close", {"code": 1000}, "connectionClosed", True),
        ("session", "close", {"code": 1001}, "connectionClosed", True),
        ("session", "close", {"code": 1011}, "connectionClosed", True),
        ("session", "close", {"code": 4001}, "creditsExhausted", False),
        ("session", "close", {"code": 4002}, "sessionDurationExceeded", True),
        ("session", "abort", {}, "connectionClosed", True),
        ("session", "garbage", {}, "protocolError", False),
        ("session", "oversize", {}, "connectionClosed", True),
    ],
)  # fmt: skip
async def test_failures(open_rig, eventually, at, fault, options, code, retryable) -> None:
    """Each fault is one failure, in the vendor's words, with what to do about it."""
    async with open_rig() as rig:
        await rig.fault(at, fault, **options)
        rig.motion.send_audio(1, SECOND * 3, end=False)
        await eventually(lambda: rig.received.failures)

        assert [(f.code, f.retryable) for f in rig.received.failures] == [(code, retryable)]
        assert "right" not in rig.received.failures[0].detail


@pytest.mark.parametrize(
    ("at", "fault"),
    [("token", "http_500"), ("upgrade", "invalid_token"), ("upgrade", "http_500"), ("handshake", "error_14")],
)
async def test_what_may_pass_is_tried_once_more(open_rig, eventually, at, fault) -> None:
    """With a fresh token; the turn has its motion all the same."""
    async with open_rig() as rig:
        await rig.fault(at, fault)
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert rig.received.failures == []


async def test_after_a_failure_the_next_turn_has_motion(open_rig, eventually) -> None:
    """The session is given up, and another is opened."""
    async with open_rig() as rig:
        await rig.fault("session", "close", code=1011, after_payloads=1)
        rig.motion.send_audio(1, SECOND * 3, end=True)
        await eventually(lambda: rig.received.failures)
        rig.motion.send_audio(2, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert rig.received.lasts == [rig.received.requests[2]]
        assert await rig.opened() == 2


@pytest.mark.parametrize(
    "fault", ["text", "late_frames", "duplicate_end", "interleaved", "no_motion", "missing_end"]
)
async def test_oddities_pass_to_the_listener(open_rig, eventually, fault) -> None:
    """They are the turn machine's to judge: payloads arrive with the id they carry, and nothing fails."""
    async with open_rig() as rig:
        await rig.fault("session", fault, after_payloads=0)
        rig.motion.send_audio(1, SECOND, end=True)
        wanted = {"missing_end": 2, "late_frames": 3, "duplicate_end": 3, "interleaved": 3}.get(fault, 2)
        await eventually(lambda: sum(map(len, rig.received.payloads.values())) == wanted)

        assert rig.received.failures == []


async def test_a_payload_over_the_frame_limit_still_arrives(open_rig, eventually) -> None:
    """800 KiB pass the SDK; refusing them is the turn machine's business."""
    async with open_rig() as rig:
        await rig.fault("session", "huge", after_payloads=0)
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert max(len(p) for p in rig.received.payloads[rig.received.requests[1]]) > 800 * 1024


async def test_closing_a_frozen_session_takes_no_time(open_rig, eventually) -> None:
    """The SDK's close waits 10 s for a frozen peer; ours does not, and its late callbacks are ignored."""
    async with open_rig() as rig:
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


async def test_a_peer_that_reads_no_audio(open_rig, eventually) -> None:
    """The send queue is bounded: beyond it motion fails, since input is never paced."""
    limits = MotionLimits(idle_s=5, session_s=100, queue_bytes=10 * len(SECOND))
    async with open_rig(limits=limits) as rig:
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


async def test_wrong_credentials(open_rig, eventually) -> None:
    """A wrong API key is final: it is reported once, and not retried at once."""
    async with open_rig(api_key="wrong") as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: rig.received.failures)
        rig.motion.send_audio(2, SECOND, end=False)
        await eventually(lambda: len(rig.received.failures) == 2)

        first, second = rig.received.failures
        assert (first.phase, first.retryable) == ("session_token", False)
        assert "401" in first.detail
        assert "wrong" not in first.detail
        assert second.code == "held"


@pytest.mark.parametrize("api_key", ["two\nlines", "carriage\rreturn"])
async def test_a_key_that_no_header_can_carry(open_rig, eventually, api_key) -> None:
    """It is reported as an invalid setting; the key is in no text."""
    async with open_rig(api_key=api_key) as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: rig.received.failures)

        failure = rig.received.failures[0]
        assert (failure.code, failure.retryable) == ("invalidConfiguration", False)
        assert api_key not in failure.detail
        assert api_key not in failure.message


async def test_the_environments_proxies_are_not_asked(open_rig, eventually, monkeypatch) -> None:
    """Neither for the token nor for the session; what the environment excepts stays excepted."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    monkeypatch.delenv("no_proxy", raising=False)
    async with open_rig() as rig:
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts or rig.received.failures)

        assert rig.received.failures == []
        assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "intranet.example,127.0.0.1"


async def test_an_unknown_avatar(open_rig, eventually) -> None:
    """404 at the upgrade."""
    async with open_rig(avatar_id="nobody") as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: rig.received.failures)

        assert (rig.received.failures[0].code, rig.received.failures[0].retryable) == (
            "avatarNotFound",
            False,
        )


async def test_a_rate_the_vendor_does_not_take(open_rig, eventually) -> None:
    """Refused at the handshake."""
    async with open_rig(sample_rate=11025) as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: rig.received.failures)

        assert rig.received.failures[0].code in ("unsupportedSampleRate", "invalidRequest")
        assert "11025" in rig.received.failures[0].detail


async def test_no_seat_left(open_rig, eventually) -> None:
    """A plan's limit shows as a refusal to bill, which is final for now."""
    async with open_rig(simulator_seats=1) as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: 1 in rig.received.requests)
        other = Received()
        async with TaskScope() as tasks:
            second = MotionClient(
                rig.pool, MotionConversation("d", "ava", RATE), listener=other, limits=LIMITS,
                spawn=partial(tasks.spawn, name="motion"),
            )  # fmt: skip
            second.send_audio(1, SECOND, end=False)
            await eventually(lambda: other.failures)

        assert other.failures[0].code == "billingRequired"


async def test_the_vendors_telemetry_is_off(open_rig, eventually) -> None:
    """No exporter was made, and nothing would be sent."""
    async with open_rig() as rig:
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert not spatius.telemetry.telemetry_enabled()
        assert spatius.telemetry._tracer_provider is None
        assert spatius.telemetry._meter_provider is None

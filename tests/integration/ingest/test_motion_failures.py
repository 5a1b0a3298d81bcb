"""Failures of motion: every fault of the vendor's service, reported in its words."""

from dataclasses import replace
from functools import partial

import pytest
from tests.rigs.audio import RATE, SECOND
from tests.rigs.motion import LIMITS, Received, open_motion

from relay_ingest.motion.client import MotionClient
from relay_ingest.motion.session import MotionConversation
from relay_runtime.tasks import TaskScope


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
async def test_failures(eventually, at, fault, options, code, retryable) -> None:
    """Each fault is one failure, in the vendor's words, with what to do about it."""
    async with open_motion() as rig:
        await rig.fault(at, fault, **options)
        rig.motion.send_audio(1, SECOND * 3, end=False)
        await eventually(lambda: rig.received.failures)

        assert [(f.code, f.retryable) for f in rig.received.failures] == [(code, retryable)]
        assert "right" not in rig.received.failures[0].detail


@pytest.mark.parametrize(
    ("at", "fault"),
    [("token", "http_500"), ("upgrade", "invalid_token"), ("upgrade", "http_500"), ("handshake", "error_14")],
)
async def test_what_may_pass_is_tried_once_more(eventually, at, fault) -> None:
    """With a fresh token; the turn has its motion all the same."""
    async with open_motion() as rig:
        await rig.fault(at, fault)
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert rig.received.failures == []


async def test_after_a_failure_the_next_turn_has_motion(eventually) -> None:
    """The session is given up, and another is opened."""
    async with open_motion() as rig:
        await rig.fault("session", "close", code=1011, after_payloads=1)
        rig.motion.send_audio(1, SECOND * 3, end=True)
        await eventually(lambda: rig.received.failures)
        rig.motion.send_audio(2, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert rig.received.lasts == [rig.received.requests[2]]
        assert await rig.opened() == 2


async def test_wrong_credentials(eventually) -> None:
    """A wrong API key is final: it is reported once, and not retried at once."""
    async with open_motion(api_key="wrong") as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: rig.received.failures)
        rig.motion.send_audio(2, SECOND, end=False)
        await eventually(lambda: len(rig.received.failures) == 2)

        first, second = rig.received.failures
        assert (first.phase, first.retryable) == ("session_token", False)
        assert "401" in first.detail
        assert "wrong" not in first.detail
        assert second.code == "held"


async def test_a_turn_after_a_final_failure_is_refused_once(eventually) -> None:
    """However many of its chunks come together; the turn after it is refused once more."""
    async with open_motion(api_key="wrong") as rig:
        rig.motion.send_audio(1, SECOND, end=True)
        await eventually(lambda: rig.received.failures)
        for turn in (2, 3):
            for _ in range(16):
                rig.motion.send_audio(turn, SECOND, end=False)
            await eventually(lambda turn=turn: len(rig.received.failures) >= turn)

        assert [failure.code for failure in rig.received.failures] == ["apiKeyRefused", "held", "held"]


async def test_a_turn_with_too_much_audio_is_refused_once(eventually) -> None:
    """What follows in the same turn opens no session again; the next turn has its motion."""
    limits = replace(LIMITS, queue_bytes=2 * len(SECOND))
    async with open_motion(limits=limits) as rig:
        for _ in range(16):
            rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: rig.received.failures)
        rig.motion.send_audio(2, SECOND, end=True)
        await eventually(lambda: rig.received.lasts)

        assert [failure.code for failure in rig.received.failures] == ["outboxFull"]
        assert rig.received.lasts == [rig.received.requests[2]]


@pytest.mark.parametrize("api_key", ["two\nlines", "carriage\rreturn"])
async def test_a_key_that_no_header_can_carry(eventually, api_key) -> None:
    """It is reported as an invalid setting; the key is in no text."""
    async with open_motion(api_key=api_key) as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: rig.received.failures)

        failure = rig.received.failures[0]
        assert (failure.code, failure.retryable) == ("invalidConfiguration", False)
        assert api_key not in failure.detail
        assert api_key not in failure.message


async def test_an_unknown_avatar(eventually) -> None:
    """404 at the upgrade."""
    async with open_motion(avatar_id="nobody") as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: rig.received.failures)

        assert (rig.received.failures[0].code, rig.received.failures[0].retryable) == (
            "avatarNotFound",
            False,
        )


async def test_a_rate_the_vendor_does_not_support(eventually) -> None:
    """Refused at the handshake."""
    async with open_motion(sample_rate=11025) as rig:
        rig.motion.send_audio(1, SECOND, end=False)
        await eventually(lambda: rig.received.failures)

        assert rig.received.failures[0].code in ("unsupportedSampleRate", "invalidRequest")
        assert "11025" in rig.received.failures[0].detail


async def test_no_seat_left(eventually) -> None:
    """A plan's limit shows as a refusal to bill, which is final for now."""
    async with open_motion(simulator_seats=1) as rig:
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

"""Rooms: the simulated participant of the vendor in a LiveKit room.

The room's server always checks the token. A participant joins only if the package ``livekit`` is installed
(``participant.py``); without it the playback of the session is only timed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from typing import Protocol

import aiohttp
import structlog

from relay_simulator.audio import AudioFormat
from relay_simulator.egress import (
    NO_CONNECTION,
    UNAUTHENTICATED,
    UNAUTHORIZED,
    UNAVAILABLE,
    Egress,
    EgressType,
    Refusal,
    check_token,
)
from relay_telemetry.counter import counter

CALLS = counter(
    "relay_simulator_playback_calls_total",
    "Playback calls to a room's agent, by result.",
    result=("ok", "rejected", "failed"),
)

log = structlog.get_logger(__name__)


class Participant(Protocol):
    """Plays the audio of a session in its room. Only ``gone`` waits."""

    def play(self, pcm: bytes) -> None:
        """Queue PCM to be played."""

    def stop(self) -> None:
        """Stop playing, and discard queued PCM."""

    def playback_started(self) -> None:
        """Notify the room's agent that the audio of a request starts to play."""

    def playback_finished(self, position_s: float, *, interrupted: bool) -> None:
        """Notify the room's agent that the playback of a request has ended."""

    async def gone(self) -> None:
        """Wait until the server has disconnected the participant."""


class NoParticipant:
    """Plays nothing and calls no agent. A ``Participant``."""

    def play(self, pcm: bytes) -> None:
        """Discard the PCM."""

    def stop(self) -> None:
        """Do nothing."""

    def playback_started(self) -> None:
        """Do nothing."""

    def playback_finished(self, position_s: float, *, interrupted: bool) -> None:
        """Do nothing."""

    async def gone(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


def join(
    egress: Egress, *, audio_format: AudioFormat, sample_rate: int, timeout_s: float
) -> AbstractAsyncContextManager[Participant]:
    """Join the room of an egress while the block runs.

    Args:
        egress: The egress.
        audio_format: Format of the audio to play; only PCM is audible.
        sample_rate: Sample rate of the audio.
        timeout_s: Longest wait for each answer of the room's server.

    Raises:
        Refusal: The room's server cannot be reached, or refuses the token.
    """
    if egress.type is not EgressType.LIVEKIT:
        return _no_room()
    return _livekit_room(egress, audio_format, sample_rate, timeout_s)


@asynccontextmanager
async def _no_room() -> AsyncIterator[Participant]:
    yield NoParticipant()


@asynccontextmanager
async def _livekit_room(
    egress: Egress, audio_format: AudioFormat, sample_rate: int, timeout_s: float
) -> AsyncIterator[Participant]:
    check_token(egress)
    await _validate_token(egress, timeout_s)
    if find_spec("livekit") is None or find_spec("livekit.rtc") is None:
        log.info("no participant: install avatar-relay[simulator-livekit]", room=egress.room)
        yield NoParticipant()
        return
    from relay_simulator.participant import participant  # noqa: PLC0415  # needs the optional package

    audible_rate = sample_rate if audio_format is AudioFormat.PCM else None
    async with participant(egress, sample_rate=audible_rate, timeout_s=timeout_s) as joined:
        yield joined


async def _validate_token(egress: Egress, timeout_s: float) -> None:
    """Validate the token as LiveKit's clients do. It is sent as a header, so that no proxy logs it.

    A server that connects but does not answer as LiveKit counts as reachable: joining decides.
    """
    url = f"{egress.http_url}/rtc/validate"
    timeout = aiohttp.ClientTimeout(connect=timeout_s, sock_read=timeout_s)
    authorization = {"Authorization": f"Bearer {egress.token}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(url, headers=authorization, allow_redirects=False) as answer,
        ):
            refused = answer.status in (401, 403)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, ValueError) as error:
        log.info("room server unreachable", room=egress.room, error=type(error).__name__)
        raise Refusal(UNAVAILABLE, NO_CONNECTION) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        log.info("room server did not answer", room=egress.room, error=type(error).__name__)
        return
    if refused:
        raise Refusal(UNAUTHENTICATED, UNAUTHORIZED)

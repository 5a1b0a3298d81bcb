"""Rooms: the vendor's participant in a LiveKit room, as far as a stand-in can be one.

The room's server always checks the token. Whether a participant joins depends on what is
installed: with the package ``livekit`` one does (``participant.py``), without it none, and the
session plays unheard.
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
    """Who plays a session's audio in its room. None of this waits."""

    def play(self, pcm: bytes) -> None:
        """Let this sound, after what sounds already."""

    def stop(self) -> None:
        """Fall silent at once."""

    def playback_started(self) -> None:
        """Notify the room's agent that the audio of a request starts to play."""

    def playback_finished(self, position_s: float, *, interrupted: bool) -> None:
        """Notify the room's agent that it has ended."""

    async def gone(self) -> None:
        """Wait until the participant is out of the room without our doing."""


class Nobody:
    """Plays nothing, calls nobody. A ``Participant``."""

    def play(self, pcm: bytes) -> None:
        """Nothing sounds."""

    def stop(self) -> None:
        """Nothing sounded."""

    def playback_started(self) -> None:
        """No agent is notified."""

    def playback_finished(self, position_s: float, *, interrupted: bool) -> None:
        """No agent is notified."""

    async def gone(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


def join(
    egress: Egress, *, audio_format: AudioFormat, sample_rate: int, timeout_s: float
) -> AbstractAsyncContextManager[Participant]:
    """Be in the egress's room while the block runs.

    Args:
        egress: Which room.
        audio_format: Of the audio that will be played; only PCM can sound.
        sample_rate: Of the same.
        timeout_s: How long the room's server may take for each answer.

    Raises:
        Refusal: The room's server cannot be reached, or does not take the token.
    """
    if egress.type is not EgressType.LIVEKIT:
        return _nowhere()
    return _in_livekit(egress, audio_format, sample_rate, timeout_s)


@asynccontextmanager
async def _nowhere() -> AsyncIterator[Participant]:
    yield Nobody()


@asynccontextmanager
async def _in_livekit(
    egress: Egress, audio_format: AudioFormat, sample_rate: int, timeout_s: float
) -> AsyncIterator[Participant]:
    check_token(egress)
    await _ask_server(egress, timeout_s)
    if find_spec("livekit") is None or find_spec("livekit.rtc") is None:
        log.info("no participant joins the room: install avatar-relay[simulator-livekit]", room=egress.room)
        yield Nobody()
        return
    from relay_simulator.participant import participant  # noqa: PLC0415  # needs the optional package

    sounding = sample_rate if audio_format is AudioFormat.PCM else None
    async with participant(egress, sample_rate=sounding, timeout_s=timeout_s) as joined:
        yield joined


async def _ask_server(egress: Egress, timeout_s: float) -> None:
    """Ask as LiveKit's own clients do. The token goes as a header, so that no proxy logs it.

    What connects but answers otherwise than LiveKit is taken for reachable: who joins will see.
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
        log.info("the room's server cannot be reached", room=egress.room, error=type(error).__name__)
        raise Refusal(UNAVAILABLE, NO_CONNECTION) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        log.info("the room's server did not answer", room=egress.room, error=type(error).__name__)
        return
    if refused:
        raise Refusal(UNAUTHENTICATED, UNAUTHORIZED)

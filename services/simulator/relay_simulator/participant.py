"""The participant: joins a LiveKit room as the vendor's does (facts 6.1, 6.3). Needs the package ``livekit``.

It publishes an audio track and a black VP8 video track, and calls two methods of the room's agent,
``lk.playback_started`` and ``lk.playback_finished``. PCM is played; Ogg Opus is not decoded, and plays as
silence. The package gives no access to encoded frames: so the video carries no motion.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from relay_runtime.tasks import TaskScope
from relay_simulator.egress import AGENT_IDENTITY, NO_CONNECTION, UNAVAILABLE, Egress, Refusal
from relay_simulator.room import CALLS

_SILENT_RATE = 48_000
_FRAME_MS = 20
_BYTES_PER_SAMPLE = 2
_VIDEO_SIZE = 64
_VIDEO_FRAME_S = 0.04
_WAITING_PIECES = 250
"""Most pieces of audio, and calls, that wait; further ones are dropped."""

log = structlog.get_logger(__name__)

# Its log lines contain the join token when a server refuses it.
logging.getLogger("livekit").setLevel(logging.CRITICAL)


@asynccontextmanager
async def participant(
    egress: Egress, *, sample_rate: int | None, timeout_s: float
) -> AsyncIterator["RoomParticipant"]:
    """Join the room while the block runs.

    Args:
        egress: The room and the join token.
        sample_rate: Sample rate of the PCM to play; None: silence only.
        timeout_s: Longest duration of joining, of publishing and of each call.

    Raises:
        Refusal: The room cannot be joined, or refuses the tracks.
    """
    room = rtc.Room()
    try:
        joined = RoomParticipant(room, egress, sample_rate=sample_rate, timeout_s=timeout_s)
        try:
            await joined.join()
        except (rtc.ConnectError, PublishTrackError, TimeoutError) as error:
            log.info("room not joined", room=egress.room, error=type(error).__name__)
            raise Refusal(UNAVAILABLE, NO_CONNECTION) from None
        async with TaskScope() as tasks:
            tasks.spawn(joined.run_audio(), name="room-audio")
            tasks.spawn(joined.run_video(), name="room-video")
            tasks.spawn(joined.run_calls(), name="room-calls")
            yield joined
    finally:
        await room.disconnect()


class RoomParticipant:
    """A participant in a LiveKit room. A ``Participant``.

    Args:
        room: The room, not joined yet.
        egress: The room's URL and the join token.
        sample_rate: Sample rate of the PCM to play; None: silence only.
        timeout_s: Longest duration of each call.
    """

    def __init__(self, room: rtc.Room, egress: Egress, *, sample_rate: int | None, timeout_s: float) -> None:
        self._room = room
        self._egress = egress
        self._is_audible = sample_rate is not None
        self._rate = sample_rate or _SILENT_RATE
        self._timeout_s = timeout_s
        self._audio = rtc.AudioSource(self._rate, 1)
        self._video = rtc.VideoSource(_VIDEO_SIZE, _VIDEO_SIZE)
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_PIECES)
        self._calls: asyncio.Queue[tuple[str, str]] = asyncio.Queue(_WAITING_PIECES)
        self._gone = asyncio.Event()
        room.on("disconnected", lambda *_: self._gone.set())
        # Agents send these to every participant; without a handler each would be logged.
        room.register_byte_stream_handler("lk.agent.session", lambda *_: None)

    async def join(self) -> None:
        """Join and publish.

        Raises:
            ConnectError: The room's server refuses, or is unreachable.
            PublishTrackError: It refuses the tracks.
            TimeoutError: It does not answer.
        """
        # The package continues to connect when it is cancelled, so the limit is its own.
        options = rtc.RoomOptions(auto_subscribe=False, connect_timeout=self._timeout_s)
        await self._room.connect(self._egress.url, self._egress.token, options)
        async with asyncio.timeout(self._timeout_s):
            await self._publish()

    async def _publish(self) -> None:
        me = self._room.local_participant
        missing = {
            name: text for name, text in self._egress.attributes.items() if me.attributes.get(name) != text
        }
        if missing:
            # A server accepts them only if the token grants it, and drops them silently otherwise.
            await me.set_attributes(missing)
        await me.publish_track(
            rtc.LocalAudioTrack.create_audio_track("audio", self._audio),
            rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
        )
        await me.publish_track(
            rtc.LocalVideoTrack.create_video_track("animation", self._video),
            rtc.TrackPublishOptions(
                source=rtc.TrackSource.SOURCE_CAMERA, video_codec=rtc.VideoCodec.VP8, simulcast=False
            ),
        )

    def play(self, pcm: bytes) -> None:
        """Queue PCM to be played."""
        size_bytes = self._rate * _FRAME_MS // 1000 * _BYTES_PER_SAMPLE
        if self._is_audible:
            for start in range(0, len(pcm) - size_bytes + 1, size_bytes):
                _put(self._pieces, pcm[start : start + size_bytes])

    def stop(self) -> None:
        """Stop playing, and discard queued PCM."""
        while not self._pieces.empty():
            self._pieces.get_nowait()
        self._audio.clear_queue()

    def playback_started(self) -> None:
        """Notify the room's agent that the audio of a request starts to play."""
        _put(self._calls, ("lk.playback_started", ""))

    def playback_finished(self, position_s: float, *, interrupted: bool) -> None:
        """Notify the room's agent that the playback of a request has ended."""
        payload = {"playback_position": position_s, "interrupted": interrupted}
        _put(self._calls, ("lk.playback_finished", json.dumps(payload)))

    async def gone(self) -> None:
        """Wait until the server has disconnected the participant."""
        await self._gone.wait()

    async def run_audio(self) -> None:
        """Play queued PCM. Runs until cancelled."""
        samples = self._rate * _FRAME_MS // 1000
        while True:
            piece = await self._pieces.get()
            await self._audio.capture_frame(rtc.AudioFrame(piece, self._rate, 1, samples))

    async def run_video(self) -> None:
        """Send black frames. Runs until cancelled."""
        size = _VIDEO_SIZE * _VIDEO_SIZE
        black = bytes(size) + bytes([128]) * (size // 2)
        frame = rtc.VideoFrame(_VIDEO_SIZE, _VIDEO_SIZE, rtc.VideoBufferType.I420, black)
        while True:
            self._video.capture_frame(frame)
            await asyncio.sleep(_VIDEO_FRAME_S)

    async def run_calls(self) -> None:
        """Perform queued calls of the room's agent, one after the other. Runs until cancelled."""
        while True:
            method, payload = await self._calls.get()
            CALLS.labels(await self._perform(method, payload)).inc()

    async def _perform(self, method: str, payload: str) -> str:
        identity = self._egress.attributes.get(AGENT_IDENTITY, "")
        try:
            answer = await self._room.local_participant.perform_rpc(
                destination_identity=identity,
                method=method,
                payload=payload,
                response_timeout=self._timeout_s,
            )
        except rtc.RpcError as error:
            log.info("playback call failed", method=method, agent=identity, code=error.code)
            return "failed"
        return "ok" if answer == "ok" else "rejected"


def _put(queue: "asyncio.Queue[Any]", item: object) -> None:
    if not queue.full():
        queue.put_nowait(item)

"""The participant: joins a LiveKit room as the vendor's does (facts 6.1, 6.3). Needs the package ``livekit``.

It publishes an audio track and a black VP8 video track, and calls two methods at the room's agent,
``lk.playback_started`` and ``lk.playback_finished``. PCM sounds; Ogg Opus is silence, since nothing here
decodes it. The video carries no motion: the package gives no access to encoded frames.
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
"""Pieces of audio or calls that wait at most; the newest is dropped beyond."""

log = structlog.get_logger(__name__)

# Its lines have the join token in them when a server refuses it.
logging.getLogger("livekit").setLevel(logging.CRITICAL)


@asynccontextmanager
async def participant(
    egress: Egress, *, sample_rate: int | None, timeout_s: float
) -> AsyncIterator["RoomParticipant"]:
    """Be in the room while the block runs.

    Args:
        egress: Which room, and what with.
        sample_rate: Of the PCM that will sound; None: silence only.
        timeout_s: How long joining, publishing and each call may take.

    Raises:
        Refusal: The room cannot be joined, or takes no tracks.
    """
    room = rtc.Room()
    try:
        joined = RoomParticipant(room, egress, sample_rate=sample_rate, timeout_s=timeout_s)
        try:
            await joined.join()
        except (rtc.ConnectError, PublishTrackError, TimeoutError) as error:
            log.info("the room was not joined", room=egress.room, error=type(error).__name__)
            raise Refusal(UNAVAILABLE, NO_CONNECTION) from None
        async with TaskScope() as tasks:
            tasks.spawn(joined.sound(), name="room-audio")
            tasks.spawn(joined.show(), name="room-video")
            tasks.spawn(joined.call(), name="room-calls")
            yield joined
    finally:
        await room.disconnect()


class RoomParticipant:
    """In a room. A ``Participant``.

    Args:
        room: Not joined yet.
        egress: Which room, and what with.
        sample_rate: Of the PCM that will sound; None: silence only.
        timeout_s: How long each call may take.
    """

    def __init__(self, room: rtc.Room, egress: Egress, *, sample_rate: int | None, timeout_s: float) -> None:
        self._room = room
        self._egress = egress
        self._sounds = sample_rate is not None
        self._rate = sample_rate or _SILENT_RATE
        self._timeout_s = timeout_s
        self._audio = rtc.AudioSource(self._rate, 1)
        self._video = rtc.VideoSource(_VIDEO_SIZE, _VIDEO_SIZE)
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_PIECES)
        self._calls: asyncio.Queue[tuple[str, str]] = asyncio.Queue(_WAITING_PIECES)
        self._gone = asyncio.Event()
        room.on("disconnected", lambda *_: self._gone.set())
        # Agents send these to everybody in the room; unread, each would be a log line.
        room.register_byte_stream_handler("lk.agent.session", lambda *_: None)

    async def join(self) -> None:
        """Join and publish.

        Raises:
            ConnectError: The room's server refuses, or is not there.
            PublishTrackError: It takes no tracks.
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
        """Let this sound, after what sounds already."""
        size_bytes = self._rate * _FRAME_MS // 1000 * _BYTES_PER_SAMPLE
        if self._sounds:
            for start in range(0, len(pcm) - size_bytes + 1, size_bytes):
                _put(self._pieces, pcm[start : start + size_bytes])

    def stop(self) -> None:
        """Fall silent at once."""
        while not self._pieces.empty():
            self._pieces.get_nowait()
        self._audio.clear_queue()

    def playback_started(self) -> None:
        """Notify the room's agent that the audio of a request starts to play."""
        _put(self._calls, ("lk.playback_started", ""))

    def playback_finished(self, position_s: float, *, interrupted: bool) -> None:
        """Notify the room's agent that it has ended."""
        payload = {"playback_position": position_s, "interrupted": interrupted}
        _put(self._calls, ("lk.playback_finished", json.dumps(payload)))

    async def gone(self) -> None:
        """Wait until the participant is out of the room without our doing."""
        await self._gone.wait()

    async def sound(self) -> None:
        """Play the pieces as they come."""
        samples = self._rate * _FRAME_MS // 1000
        while True:
            piece = await self._pieces.get()
            await self._audio.capture_frame(rtc.AudioFrame(piece, self._rate, 1, samples))

    async def show(self) -> None:
        """Show black."""
        size = _VIDEO_SIZE * _VIDEO_SIZE
        black = bytes(size) + bytes([128]) * (size // 2)
        frame = rtc.VideoFrame(_VIDEO_SIZE, _VIDEO_SIZE, rtc.VideoBufferType.I420, black)
        while True:
            self._video.capture_frame(frame)
            await asyncio.sleep(_VIDEO_FRAME_S)

    async def call(self) -> None:
        """Call the room's agent, one call after the other."""
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
            log.info("a room's agent took no call", method=method, agent=identity, code=error.code)
            return "failed"
        return "ok" if answer == "ok" else "rejected"


def _put(queue: "asyncio.Queue[Any]", item: object) -> None:
    if not queue.full():
        queue.put_nowait(item)

"""Recordings: the frames that a viewer received, as digests and latencies."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from relay_client import Viewer
from relay_wire import events
from relay_wire.frame import Frame, Kind


@dataclass
class Recording:
    """Records the frames of one viewer, while ``run`` runs.

    Args:
        viewer: The connected viewer.
        gateway_names: Names of the gateways by URL, for the summary.
        on_frame: Called after each frame.
        report_playback: Report the end of each turn to the relay, as clients do.
    """

    viewer: Viewer
    gateway_names: dict[str, str]
    on_frame: Callable[["Recording", Frame], None] | None = None
    report_playback: bool = True
    audio_bytes: int = 0
    motion_payloads: int = 0
    turn: int = 0
    outcomes: dict[int, str] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    """From publishing to receipt, of live frames: replayed frames do not count."""
    first_audio_at: float | None = None
    first_motion_at: float | None = None

    def __post_init__(self) -> None:
        self._audio = hashlib.sha256()
        self._motion = hashlib.sha256()
        self._turn_ended = asyncio.Event()
        self._connected_us = time.time_ns() // 1000
        self._resumes = 0
        self._gateways = [self.gateway_names[self.viewer.url]]

    async def run(self) -> None:
        """Receive until the conversation ends."""
        async for frame in self.viewer:
            self._note_reconnect()
            await self._record(frame)
            if self.on_frame is not None:
                self.on_frame(self, frame)

    async def until_turn_ended(self, turn: int) -> None:
        """Wait until this viewer has received the end of a turn."""
        while turn not in self.outcomes:
            self._turn_ended.clear()
            await self._turn_ended.wait()

    @property
    def audio_sha256(self) -> str:
        """The digest of all audio payloads, in order."""
        return self._audio.hexdigest()

    @property
    def motion_sha256(self) -> str:
        """The digest of all motion payloads, in order."""
        return self._motion.hexdigest()

    @property
    def gateways(self) -> str:
        """The gateways that it was connected to, in order."""
        return " > ".join(self._gateways)

    def summary(self) -> dict[str, Any]:
        """The viewer's part of the report."""
        report = self.viewer.report
        return {
            "gateway": self.gateways,
            "frames": report.frames,
            "audio_sha256": self.audio_sha256,
            "motion_sha256": self.motion_sha256,
            "gaps": report.gaps,
            "duplicates": report.duplicates,
            "out_of_order": report.out_of_order,
            "resumes": report.resumes,
        }

    def _note_reconnect(self) -> None:
        if self.viewer.report.resumes != self._resumes:
            self._resumes = self.viewer.report.resumes
            self._connected_us = time.time_ns() // 1000
            self._gateways.append(self.gateway_names[self.viewer.url])

    async def _record(self, frame: Frame) -> None:
        if frame.seq == 0:
            return
        now_us = time.time_ns() // 1000
        self.turn = max(self.turn, frame.turn)
        if frame.published_at_us > self._connected_us:
            self.latencies_ms.append((now_us - frame.published_at_us) / 1000)
        if frame.kind is Kind.AUDIO:
            self._audio.update(frame.payload)
            self.audio_bytes += len(frame.payload)
            self.first_audio_at = self.first_audio_at or time.monotonic()
        elif frame.kind is Kind.MOTION:
            self._motion.update(frame.payload)
            self.motion_payloads += bool(frame.payload)
            self.first_motion_at = self.first_motion_at or time.monotonic()
        else:
            await self._on_event(frame)

    async def _on_event(self, frame: Frame) -> None:
        event = events.decode(frame.payload)
        if isinstance(event, events.TurnEnded):
            self.outcomes[frame.turn] = event.outcome
            self._turn_ended.set()
            if self.report_playback:
                # Without the report, the next turn begins at the end computed from the audio.
                with suppress(ConnectionError):
                    await self.viewer.report_playback(frame.turn, "finished")


def percentile(values: list[float], share: float) -> float:
    """The nearest-rank percentile; 0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

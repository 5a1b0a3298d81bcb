"""Responses: the JSON of successful operations."""

from typing import Any, Literal

import msgspec
from aiohttp import web

from relay_auth.viewer_tokens import Role
from relay_streams import usage
from relay_streams.clips import Clip, ClipState
from relay_streams.conversations import Conversation, TalkOver
from relay_wire.pcm import duration_ms


class ConversationResponse(msgspec.Struct, frozen=True):
    """A conversation."""

    id: str
    state: Literal["open", "closing", "ended"]
    avatar_id: str
    sample_rate: int
    codec: str
    agent: str
    talk_over: TalkOver
    recording: Literal["off", "running", "finished"]
    """``finished`` once its files are in storage."""
    created_ms: int
    owner: str | None
    """The worker that owns it; null while it has none."""
    waits_s: int
    """Seconds for which it has had no owner."""
    generation: int
    turn: int
    """The turn started last, 0 before the first."""
    position: str
    """The position of the last frame."""
    stream_url: str
    """Where viewers connect."""

    @classmethod
    def of(cls, record: Conversation, stream_url: str, waits_s: int) -> "ConversationResponse":
        """Convert a record."""
        return cls(
            id=record.id,
            state=record.state,
            avatar_id=record.avatar_id,
            sample_rate=record.sample_rate,
            codec=record.codec.name.lower(),
            agent=record.agent,
            talk_over=record.talk_over,
            recording=_recording(record),
            created_ms=record.created_ms,
            owner=record.owner or None,
            waits_s=waits_s,
            generation=record.generation,
            turn=record.turn,
            position=str(record.last_position),
            stream_url=stream_url,
        )


def _recording(record: Conversation) -> Literal["off", "running", "finished"]:
    if not record.recorded:
        return "off"
    return "finished" if record.is_recording_finished else "running"


class TurnAccepted(msgspec.Struct, frozen=True):
    """A turn whose audio is in the uplink."""

    turn: int
    audio_bytes: int
    audio_ms: int


class TurnsInterrupted(msgspec.Struct, frozen=True):
    """Turns that are cancelled."""

    interrupted_upto: int
    """The last cancelled turn; 0 when there was none."""


class DailyUsage(msgspec.Struct, frozen=True):
    """What the conversations of one API key used on one day."""

    day: str
    app: str
    """The id of the API key; empty for guests' conversations."""
    conversations: int
    """Those created on this day."""
    turns_complete: int
    turns_audio_only: int
    turns_interrupted: int
    turns_failed: int
    speech_s: float
    """The duration of the published audio."""
    motion_s: float
    """How long Motion sessions were connected."""
    motion_estimated_s: float
    """The part of it that is an estimate: the process that had the session was killed."""
    credits: int
    """The vendor's credits of these sessions."""
    credits_estimated: int
    """The part of them that is an estimate."""
    viewer_minutes: float
    audio_bytes: int
    motion_bytes: int

    @classmethod
    def of(cls, row: usage.DailyUsage) -> "DailyUsage":
        """Convert stored counters."""
        return cls(
            day=row.day,
            app=row.app,
            conversations=row.count(usage.CONVERSATIONS),
            turns_complete=row.count(usage.turns("complete")),
            turns_audio_only=row.count(usage.turns("audio_only")),
            turns_interrupted=row.count(usage.turns("interrupted")),
            turns_failed=row.count(usage.turns("failed")),
            speech_s=round(row.speech_s, 6),
            motion_s=row.motion_s,
            motion_estimated_s=row.count(usage.ESTIMATED_MOTION_MS) / 1000,
            credits=row.credits,
            credits_estimated=row.count(usage.ESTIMATED_CREDITS),
            viewer_minutes=round(row.count(usage.VIEWER_MS) / 60_000, 3),
            audio_bytes=row.audio_bytes,
            motion_bytes=row.count(usage.MOTION_BYTES),
        )


class UsageResponse(msgspec.Struct, frozen=True):
    """Usage by day and API key. Days without usage are left out."""

    usage: tuple[DailyUsage, ...]


class ClipResponse(msgspec.Struct, frozen=True):
    """A clip."""

    id: str
    state: ClipState
    progress: float
    """Of its rendering, from 0 to 1; an estimate in between."""
    reason: str | None
    """Why the last attempt to render it failed; null: none has."""
    attempts: int
    """Attempts to render it."""
    avatar_id: str
    sample_rate: int
    audio_bytes: int
    audio_ms: int
    size_bytes: int
    """Audio and motion, once it is ready."""
    created_ms: int

    @classmethod
    def of(cls, clip: Clip) -> "ClipResponse":
        """Convert a record."""
        return cls(
            id=clip.id,
            state=clip.state,
            progress=clip.progress,
            reason=clip.reason or None,
            attempts=clip.attempts,
            avatar_id=clip.avatar_id,
            sample_rate=clip.sample_rate,
            audio_bytes=clip.audio_bytes,
            audio_ms=duration_ms(clip.audio_bytes, clip.sample_rate),
            size_bytes=clip.size_bytes,
            created_ms=clip.created_ms,
        )


class ClipsResponse(msgspec.Struct, frozen=True):
    """The clips of an API key, the newest first."""

    clips: tuple[ClipResponse, ...]


class ViewerTokenResponse(msgspec.Struct, frozen=True):
    """A viewer token."""

    token: str
    expires_at: int
    """Seconds since the epoch."""
    role: Role
    url: str
    """Stream URL the token is valid for."""


class SessionTokenResponse(msgspec.Struct, frozen=True, rename="camel"):
    """A session token of the vendor's, as Direct Mode clients read it (facts 7)."""

    session_token: str
    expired_at: str
    """When it expires, in ISO 8601."""
    avatar_id: str
    region: str
    app_id: str


def json_response(body: msgspec.Struct, *, status: int = 200, **headers: str) -> web.Response:
    """Create a JSON response from a struct."""
    named: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(
        body=msgspec.json.encode(body), status=status, headers=named, content_type="application/json"
    )

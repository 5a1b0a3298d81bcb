"""Resources of control, as clients decode them. Unknown members are ignored."""

import msgspec


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation."""

    id: str
    state: str
    """``open``, ``closing`` or ``ended``."""
    avatar_id: str
    sample_rate: int
    """Sample rate of its speech, in Hz."""
    codec: str
    agent: str
    """The agent that answers its viewers; ``push`` is the backend."""
    talk_over: str
    """Messages of a viewer that interrupt a speaking avatar: ``never``, ``requests`` or ``always``."""
    recording: str = "off"
    """``off``, ``running``, or ``finished`` once its files are in storage."""
    created_ms: int
    """In milliseconds since the epoch."""
    owner: str | None
    """The ingest worker that owns it; None while it waits for one."""
    waits_s: int
    """Seconds for which it has waited for an owner."""
    generation: int
    turn: int
    """The turn started last, 0 before the first."""
    position: str
    """The position of the last frame."""
    stream_url: str
    """Where viewers connect."""


class TurnAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """A turn whose audio is in the uplink."""

    turn: int
    audio_bytes: int
    audio_ms: int


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """A clip."""

    id: str
    state: str
    """``queued``, ``rendering``, ``ready``, ``failed`` or ``cancelled``."""
    progress: float
    """Of its rendering, from 0 to 1; an estimate in between."""
    reason: str | None
    """Why the last attempt to render it failed."""
    attempts: int
    avatar_id: str
    sample_rate: int
    """In Hz."""
    audio_bytes: int
    audio_ms: int
    size_bytes: int
    """Audio and motion, once it is ready."""
    created_ms: int
    """In milliseconds since the epoch."""


class Clips(msgspec.Struct, frozen=True, kw_only=True):
    """The clips of an API key, the newest first."""

    clips: tuple[Clip, ...]


class ViewerToken(msgspec.Struct, frozen=True, kw_only=True):
    """A viewer token."""

    token: str
    expires_at: int
    """In seconds since the epoch."""
    role: str
    """``listen`` or ``speak``."""
    url: str
    """The stream it is valid for."""


class TurnsInterrupted(msgspec.Struct, frozen=True, kw_only=True):
    """Turns that are cancelled."""

    interrupted_upto: int
    """The last cancelled turn; 0 when there was none."""


class DailyUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the conversations of one API key used on one day."""

    day: str
    """In ISO 8601, UTC."""
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


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Usage by day and API key. Days without usage are left out."""

    usage: tuple[DailyUsage, ...]

"""Conversations: their records, which control creates and all services read."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from relay_redis.client import RedisClient
from relay_streams.errors import Missing, Unreadable
from relay_streams.keys import ConversationKeys, KeySpace
from relay_streams.scripts.attend import Attendance, attend
from relay_streams.scripts.call import run
from relay_streams.scripts.create import create as create_call
from relay_streams.scripts.find_turn import INPUT_STATES
from relay_telemetry.trace_context import NO_TRACE, Context
from relay_turns.phase import InputState, Phase
from relay_wire.frame import Codec
from relay_wire.position import START, Position

State = Literal["open", "closing", "ended"]
TalkOver = Literal["never", "requests", "always"]
"""The messages of a viewer that interrupt the avatar while it speaks: only an interrupt; also texts and
requests for clips; also microphone audio, for clients that send it only while a button is held."""
PUSH = "push"
"""The agent that answers nothing: the app's backend sends the speech."""
RECORD_FORMAT = 1
"""The format of the records this version writes. It grows when older versions can no longer read them."""

_STATES: dict[bytes, State] = {b"open": "open", b"closing": "closing", b"ended": "ended"}
_TALK_OVERS: dict[bytes, TalkOver] = {value.encode(): value for value in get_args(TalkOver)}
_PHASES: dict[bytes, Phase] = {value.encode(): value for value in get_args(Phase)}


class Conversation(NamedTuple):
    """A conversation's record: the ``meta`` hash."""

    id: str
    state: State
    avatar_id: str
    sample_rate: int
    codec: Codec
    created_ms: int
    agent: str = PUSH
    """The name of the agent that answers the viewers."""
    talk_over: TalkOver = "never"
    accepts: str = ""
    """The kinds of viewers' messages that its agent accepts, as in the uplink, separated by spaces; ``-``:
    none. Empty: not known, since it has had no owner."""
    creator: str = ""
    """Id of the API key that created it; empty when a gateway did."""
    recorded: bool = False
    """Whether it is recorded: its frames stay in the stream until they are copied, within a byte limit."""
    is_recording_finished: bool = False
    """Whether the file of the recording is whole."""
    owner: str = ""
    """The worker that owns it, or was the last to."""
    generation: int = 0
    """The current generation, 0 before the first owner."""
    first_generation: int = 0
    last_position: Position = START
    """The position of the last frame."""
    turn: int = 0
    """The turn started last, 0 before the first."""
    turn_first: Position = START
    """The position of its first frame."""
    turn_before: Position = START
    """The position of the first frame of the turn before."""
    turn_phase: Phase = "idle"
    """The phase of the last turn; ``idle`` also in a record of a version without this field."""
    turn_ends_at_ms: int = 0
    """The wall time at which the turn has played, while it is playing."""
    checkpoint: bytes = b""
    """The turn machine's state after the last frame, in a format that only owners read."""
    uplink_cursor: str = "0-0"
    """The last uplink entry that an owner has processed."""
    input_turn: int = 0
    """The turn opened last in the uplink."""
    input_state: InputState = "ended"
    """Whether its audio is still coming."""
    input_offset: int = 0
    """Bytes of it that are appended."""
    input_key: str = ""
    """Its idempotency key."""
    input_trace: Context = NO_TRACE
    """The trace context of its first speech."""
    stopped: int = 0
    """The last turn that an interrupt or a barge-in cancelled, also while its entry is unread."""
    stop_reason: str = ""
    """The reason of that interrupt."""
    events: int = 0
    """How many public events of it the outbox has got."""
    viewer_ms: int = 0
    """For how long viewers have watched it, summed over them; counted only for jobs."""
    motion: str = ""
    """When its last Motion session was opened, in ms since the epoch, and the session's id; 0 once that is
    closed. Recorded only for jobs."""

    def is_turn_current(self, now_ms: int) -> bool:
        """Whether the last turn is being published, or still plays, at a wall time."""
        if self.turn_phase == "playing":
            return now_ms < self.turn_ends_at_ms
        return self.turn_phase == "speaking"

    def founding_fields(self) -> list[str | int]:
        """The fields of a new record: names and values, alternating."""
        return [
            "format", RECORD_FORMAT,
            "state", self.state,
            "avatar", self.avatar_id,
            "sample_rate", self.sample_rate,
            "codec", int(self.codec),
            "created", self.created_ms,
            "agent", self.agent,
            "talk_over", self.talk_over,
            "creator", self.creator,
            *(("accepts", self.accepts) if self.accepts else ()),
            *(("record", 1) if self.recorded else ()),
            *(("first_generation", self.first_generation) if self.first_generation else ()),
            *(("events", self.events) if self.events else ()),
            *(("viewer_ms", self.viewer_ms) if self.viewer_ms else ()),
        ]  # fmt: skip

    def started(self) -> bytes:
        """The data of the event that it started, as JSON."""
        return msgspec.json.encode(
            {"avatar_id": self.avatar_id, "sample_rate": self.sample_rate, "agent": self.agent}
        )

    @classmethod
    def from_fields(cls, conversation: str, fields: Mapping[bytes, bytes]) -> "Conversation":
        """Read the hash.

        Raises:
            Missing: The hash is empty or not a record: Redis has none, or has lost it.
            Unreadable: A field is damaged, or a later version of the relay wrote the record.
        """
        if b"state" not in fields:
            raise Missing(f"no record of conversation {conversation}")
        record, replaced = cls.salvage(conversation, fields)
        if replaced or int(fields.get(b"format", b"1")) > RECORD_FORMAT:
            raise Unreadable(conversation, tuple(name.decode() for name in replaced))
        return record

    @classmethod
    def salvage(
        cls, conversation: str, fields: Mapping[bytes, bytes], *, last_position: bytes = b"0-0"
    ) -> tuple["Conversation", dict[bytes, bytes]]:
        """Read the hash, with replacements for fields that cannot be read.

        Args:
            conversation: The id.
            fields: The hash.
            last_position: Replaces the position of the last frame, if that field cannot be read.

        Returns:
            The record, and the replacements by field.
        """
        values: dict[str, Any] = {}
        replaced: dict[bytes, bytes] = {}
        for attribute, (name, read, default, required) in _FIELDS.items():
            try:
                values[attribute] = read(fields[name] if required else fields.get(name, default))
            except (KeyError, ValueError, RecursionError):
                replaced[name] = last_position if name == b"tail" else default
                values[attribute] = read(replaced[name])
        del values["format"]
        return cls(id=conversation, **values), replaced


async def create(
    client: RedisClient, keys: ConversationKeys, record: Conversation, *, outbox_entries: int = 0
) -> bool:
    """Create a conversation and queue it for an owner, atomically.

    Args:
        client: Runs the script.
        keys: The conversation.
        record: Its record.
        outbox_entries: Most entries of the outbox, which gets ``conversation.started``; 0: none does.

    Returns:
        Whether it is new. False when the id exists; nothing was written then, so a retry is safe.

    Raises:
        Unavailable: Redis cannot run it now.
    """
    call = create_call(
        keys,
        creator=record.creator,
        fields=record.founding_fields(),
        started=record.started() if outbox_entries else b"",
        outbox_entries=outbox_entries,
    )
    return await run(client, call)


async def attendance(
    client: RedisClient,
    keys: ConversationKeys,
    *,
    watched: bool = False,
    watched_ms: int = 0,
    outbox_entries: int = 0,
) -> Attendance:
    """Read who attends to a conversation.

    Args:
        client: Runs the script.
        keys: The conversation.
        watched: Note that viewers watch it at the caller.
        watched_ms: Add this to the time for which viewers have watched it.
        outbox_entries: Most entries of the outbox, if there is such time.

    Raises:
        Missing: There is no such conversation.
        Unavailable: Redis cannot run it now.
    """
    call = attend(keys, watched=watched, watched_ms=watched_ms, outbox_entries=outbox_entries)
    return await run(client, call)


async def count_live(client: RedisClient, space: KeySpace, creator: str) -> int:
    """Count the conversations of a creator that have not ended.

    Those created meanwhile may or may not be counted; those from before a loss of Redis's data are not.

    Raises:
        Unavailable: Redis cannot be read now.
    """
    names = [space.shared(partition).made(creator) for partition in range(space.partitions)]
    return sum(await asyncio.gather(*(client.execute("SCARD", name) for name in names)))


async def read(client: RedisClient, keys: ConversationKeys) -> Conversation:
    """Read a conversation's record.

    Raises:
        Missing: There is none.
        Unavailable: Redis cannot be read now.
    """
    reply = await client.execute("HGETALL", keys.meta)
    return Conversation.from_fields(keys.id, fields_of(reply))


def fields_of(flat: list[bytes]) -> dict[bytes, bytes]:
    """Alternating names and values, as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _count(data: bytes, limit: int = 2**53) -> int:
    # int() would also take signs, spaces, underscores and other scripts' digits; the scripts' numbers are
    # whole up to 2^53.
    if not data.isdigit() or len(data) > 20 or int(data) > limit:
        raise ValueError(f"not a number up to {limit}: {data[:32]!r}")
    return int(data)


def _sample_rate(data: bytes) -> int:
    if not _count(data, 2**20):
        raise ValueError("a sample rate of 0")
    return int(data)


def _position(data: bytes) -> Position:
    return Position.parse(data.decode())


def _entry_id(data: bytes) -> str:
    milliseconds, _, number = data.partition(b"-")
    return f"{_count(milliseconds)}-{_count(number, 2**64 - 1)}"


_turn = partial(_count, limit=2**32 - 1)


class _Field(NamedTuple):
    """One field of the hash, and how it is read."""

    name: bytes
    read: Callable[[bytes], Any]
    default: bytes
    """Its value if the hash has none, or none that can be read."""
    required: bool = False


_FIELDS: dict[str, _Field] = {
    "format": _Field(b"format", _count, b"1"),
    "state": _Field(b"state", _STATES.__getitem__, b"open", required=True),
    "avatar_id": _Field(b"avatar", bytes.decode, b"", required=True),
    "sample_rate": _Field(b"sample_rate", _sample_rate, b"16000", required=True),
    "codec": _Field(b"codec", lambda data: Codec(_count(data)), b"0", required=True),
    "created_ms": _Field(b"created", _count, b"0", required=True),
    "agent": _Field(b"agent", bytes.decode, PUSH.encode()),
    "talk_over": _Field(b"talk_over", _TALK_OVERS.__getitem__, b"never"),
    "accepts": _Field(b"accepts", bytes.decode, b""),
    "creator": _Field(b"creator", bytes.decode, b""),
    "recorded": _Field(b"record", b"1".__eq__, b""),
    "is_recording_finished": _Field(b"rec_state", b"finished".__eq__, b""),
    "owner": _Field(b"owner", bytes.decode, b""),
    "generation": _Field(b"generation", _count, b"0"),
    "first_generation": _Field(b"first_generation", _count, b"0"),
    "last_position": _Field(b"tail", _position, b"0-0"),
    "turn": _Field(b"turn", _turn, b"0"),
    "turn_first": _Field(b"turn_first", _position, b"0-0"),
    "turn_before": _Field(b"turn_before", _position, b"0-0"),
    "turn_phase": _Field(b"turn_phase", _PHASES.__getitem__, b"idle"),
    "turn_ends_at_ms": _Field(b"turn_ends_at_ms", _count, b"0"),
    "checkpoint": _Field(b"checkpoint", bytes, b""),
    "uplink_cursor": _Field(b"up", _entry_id, b"0-0"),
    "input_turn": _Field(b"in_turn", _turn, b"0"),
    "input_state": _Field(b"in_state", INPUT_STATES.__getitem__, b"ended"),
    "input_offset": _Field(b"in_offset", _count, b"0"),
    "input_key": _Field(b"in_key", bytes.decode, b""),
    "input_trace": _Field(b"in_trace", lambda data: Context.decode(data.decode("ascii", "replace")), b""),
    "stopped": _Field(b"in_stopped", _turn, b"0"),
    "stop_reason": _Field(b"in_stop_reason", bytes.decode, b""),
    "events": _Field(b"events", _count, b"0"),
    "viewer_ms": _Field(b"viewer_ms", _count, b"0"),
    "motion": _Field(b"motion", bytes.decode, b""),
}
"""By attribute of ``Conversation``."""
RECORD_FIELDS = tuple(field.name for field in _FIELDS.values())
"""The fields of the hash, besides those that only scripts read."""

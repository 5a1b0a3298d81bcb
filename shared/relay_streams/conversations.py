"""Conversations: their records, as control creates them and everyone reads them."""

import asyncio
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from relay_streams import scripts
from relay_streams.errors import Missing
from relay_streams.keys import ConversationKeys, KeySpace
from relay_streams.link import Link
from relay_wire.frame import Codec
from relay_wire.position import START, Position
from relay_wire.turns import InputState

State = Literal["open", "closing", "ended"]
TalkOver = Literal["never", "requests", "always"]
"""What a viewer says while the avatar speaks that interrupts it: nothing but an interrupt; texts and
requests for clips too; microphone audio too, for clients that listen only while a button is held."""
PUSH = "push"
"""The agent that says nothing: the app's backend does."""

_STATES: dict[bytes, State] = {b"open": "open", b"closing": "closing", b"ended": "ended"}
_TALK_OVERS: dict[bytes, TalkOver] = {value.encode(): value for value in get_args(TalkOver)}
INPUT_STATES: dict[bytes, InputState] = {b"open": "open", b"ended": "ended", b"cut": "cut"}


class Conversation(NamedTuple):
    """A conversation's record: the ``meta`` hash."""

    id: str
    state: State
    avatar_id: str
    sample_rate: int
    codec: Codec
    created_ms: int
    agent: str = PUSH
    """Who answers the viewers."""
    talk_over: TalkOver = "never"
    creator: str = ""
    """Id of the API key that created it; nothing when a gateway did."""
    owner: str = ""
    """The worker that owns it, or did last."""
    generation: int = 0
    """The current term, 0 before the first owner."""
    first_generation: int = 0
    tail: Position = START
    """The last frame."""
    turn: int = 0
    """The turn started last, 0 before the first."""
    turn_first: Position = START
    """Where that turn begins."""
    turn_before: Position = START
    """Where the one before it begins."""
    checkpoint: bytes = b""
    """The turn machine's state at the tail."""
    up: str = "0-0"
    """The last up entry consumed."""
    input_turn: int = 0
    """The turn opened last at a door."""
    input_state: InputState = "ended"
    """Whether its audio is still coming."""
    input_offset: int = 0
    """Bytes of it that are in."""
    input_key: str = ""
    """What it was opened with."""

    def founding_fields(self) -> list[str | int]:
        """Names and values the record begins with, in turn."""
        return [
            "state", self.state,
            "avatar", self.avatar_id,
            "sample_rate", self.sample_rate,
            "codec", int(self.codec),
            "created", self.created_ms,
            "agent", self.agent,
            "talk_over", self.talk_over,
            "creator", self.creator,
            *(("first_generation", self.first_generation) if self.first_generation else ()),
        ]  # fmt: skip

    @classmethod
    def from_fields(cls, conversation: str, fields: Mapping[bytes, bytes]) -> "Conversation":
        """Read the hash.

        Raises:
            Missing: It is empty or not a conversation's record.
        """
        try:
            return cls(
                id=conversation,
                state=_STATES[fields[b"state"]],
                avatar_id=fields[b"avatar"].decode(),
                sample_rate=int(fields[b"sample_rate"]),
                codec=Codec(int(fields[b"codec"])),
                created_ms=int(fields[b"created"]),
                agent=fields.get(b"agent", b"push").decode(),
                talk_over=_TALK_OVERS[fields.get(b"talk_over", b"never")],
                creator=fields.get(b"creator", b"").decode(),
                owner=fields.get(b"owner", b"").decode(),
                generation=int(fields.get(b"generation", 0)),
                first_generation=int(fields.get(b"first_generation", 0)),
                tail=_position(fields, b"tail"),
                turn=int(fields.get(b"turn", 0)),
                turn_first=_position(fields, b"turn_first"),
                turn_before=_position(fields, b"turn_before"),
                checkpoint=fields.get(b"checkpoint", b""),
                up=fields.get(b"up", b"0-0").decode(),
                input_turn=int(fields.get(b"in_turn", 0)),
                input_state=INPUT_STATES[fields.get(b"in_state", b"ended")],
                input_offset=int(fields.get(b"in_offset", 0)),
                input_key=fields.get(b"in_key", b"").decode(),
            )
        except (KeyError, ValueError) as error:
            raise Missing(f"no record of conversation {conversation}: {error!r}") from None


async def create(link: Link, keys: ConversationKeys, record: Conversation) -> bool:
    """Create a conversation and put it up for an owner, atomically.

    Returns:
        Whether it is new: False when the id is taken, and then nothing changed, so a retry is safe.

    Raises:
        Unavailable: Redis cannot take it now.
    """
    return bool(
        await link.run_script(
            scripts.CREATE,
            (keys.meta, keys.unowned, keys.made(record.creator)),
            record.id,
            *record.founding_fields(),
        )
    )


async def count_live(link: Link, space: KeySpace, creator: str) -> int:
    """How many conversations of a creator have not ended.

    Those that are created meanwhile may or may not be counted; after a Redis that lost its data, those
    from before are not.

    Raises:
        Unavailable: Redis cannot be read now.
    """
    names = [space.shared(partition).made(creator) for partition in range(space.partitions)]
    return sum(await asyncio.gather(*(link.execute("SCARD", name) for name in names)))


async def read(link: Link, keys: ConversationKeys) -> Conversation:
    """Read a conversation's record.

    Raises:
        Missing: There is none.
        Unavailable: Redis cannot be read now.
    """
    reply = await link.execute("HGETALL", keys.meta)
    return Conversation.from_fields(keys.id, fields_of(reply))


def fields_of(flat: list[bytes]) -> dict[bytes, bytes]:
    """Names and values in turn, as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _position(fields: Mapping[bytes, bytes], name: bytes) -> Position:
    return Position.parse(fields[name].decode()) if name in fields else START

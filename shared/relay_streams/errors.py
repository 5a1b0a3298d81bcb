"""Errors of conversations.

The whole tree, with the errors of ``relay_redis.errors`` in brackets:

- [``StoreError``]
    - [``Unavailable``]: the same call may succeed later
        - ``Unreplicated``: too few replicas have confirmed the write
    - [``Refused``]: the command cannot succeed
        - [``Unencodable``]: the command cannot be written
    - ``Missing``: the conversation does not exist
    - ``Unreadable``: the conversation's record is damaged, or a later version wrote it
    - ``Ended``: the conversation has ended
    - ``Fenced``: another owner has taken over
    - ``TailLost``: Redis has lost frames that were acknowledged
    - ``UplinkRejected``: the uplink does not accept an entry
        - ``UplinkFull``: the uplink is at its limit
        - ``SpeakerBusy``: another turn is open
        - ``TurnClosed``: the turn accepts no more audio
        - ``InputMismatch``: the turn has other audio
        - ``OffsetGap``: audio before the chunk is missing
        - ``AudioLost``: Redis has lost more audio than the sender keeps
"""

from typing import ClassVar

from relay_redis.errors import StoreError, Unavailable


class Missing(StoreError):
    """Raised when the conversation does not exist."""


class Unreadable(StoreError):
    """Raised when the record of a conversation cannot be read.

    Attributes:
        fields: The damaged fields, by name; none when a later version of the relay wrote the record.
    """

    def __init__(self, conversation: str, fields: tuple[str, ...] = ()) -> None:
        why = f"in {', '.join(fields)}" if fields else "which a later version of the relay wrote"
        super().__init__(f"the record of conversation {conversation} cannot be read, {why}")
        self.fields = fields


class Ended(StoreError):
    """Raised when the conversation has ended."""


class Fenced(StoreError):
    """Raised when an owner writes after another has taken over: nothing was written.

    Attributes:
        generation: The generation that owns the conversation now.
    """

    def __init__(self, generation: int) -> None:
        super().__init__(f"generation {generation} owns the conversation now")
        self.generation = generation


class TailLost(StoreError):
    """Raised when the stream ends before the frame that should precede ours: nothing was written.

    Attributes:
        seq: The last frame of this generation that the stream has.
    """

    def __init__(self, seq: int) -> None:
        super().__init__(f"the stream has frames up to seq {seq} only")
        self.seq = seq


class Unreplicated(Unavailable):
    """Raised when too few replicas of Redis have confirmed a chunk in time: repeat it."""


class UplinkRejected(StoreError):
    """Raised when the uplink does not accept an entry: nothing was appended.

    Attributes:
        code: The reason, for tables and metrics.
        turn: The turn concerned; 0 for none.
        offset: Bytes of the turn that are appended; 0 if the reason is not about them.
    """

    code: ClassVar[str]

    def __init__(self, text: str, *, turn: int = 0, offset: int = 0) -> None:
        super().__init__(text)
        self.turn = turn
        self.offset = offset


class UplinkFull(UplinkRejected):
    """Raised when the queue is at its limit: repeat the same entry once the owner has read some."""

    code = "full"
    retryable = True

    def __init__(self) -> None:
        super().__init__("the uplink is at its limit")


class SpeakerBusy(UplinkRejected):
    """Raised when a turn cannot open because another, ``turn``, is open."""

    code = "busy"

    def __init__(self, turn: int) -> None:
        super().__init__(f"turn {turn} is open", turn=turn)


class TurnClosed(UplinkRejected):
    """Raised when the turn was interrupted, barged into, or silent for too long."""

    code = "closed"

    def __init__(self, turn: int) -> None:
        super().__init__(f"turn {turn} accepts no more audio", turn=turn)


class InputMismatch(UplinkRejected):
    """Raised when a turn's audio ends at another offset than the caller's: it has other audio."""

    code = "mismatch"

    def __init__(self, turn: int, offset: int) -> None:
        super().__init__(
            f"turn {turn} ends at byte {offset}, not where this audio ends", turn=turn, offset=offset
        )


class OffsetGap(UplinkRejected):
    """Raised when audio before the chunk is missing: not appended yet, or lost by Redis.

    ``offset`` is where the turn's audio ends.
    """

    code = "gap"

    def __init__(self, turn: int, offset: int) -> None:
        super().__init__(f"the turn has {offset} bytes", turn=turn, offset=offset)


class AudioLost(UplinkRejected):
    """Raised when Redis has lost audio of a turn that the send buffer no longer keeps."""

    code = "lost"

    def __init__(self, turn: int, offset: int) -> None:
        super().__init__(f"turn {turn} has lost its audio from byte {offset} on", turn=turn, offset=offset)

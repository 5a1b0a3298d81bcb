"""Errors of conversations.

The whole tree, with the errors of ``relay_redis.errors`` in brackets:

- [``StoreError``]
    - [``Unavailable``]: the same call may succeed later
        - ``Unreplicated``, in ``relay_streams.uplink``: too few replicas have confirmed the write
    - [``Refused``]: the command cannot succeed
        - [``Unencodable``]: the command cannot be written
    - ``Missing``: the conversation does not exist
    - ``Unreadable``: the conversation's record is damaged, or a later version wrote it
    - ``Ended``: the conversation has ended
    - ``Fenced``: another owner has taken over
    - ``TailLost``: Redis has lost frames that were acknowledged
    - of turn input, in ``relay_streams.uplink``: ``SpeakerBusy``, ``TurnClosed``, ``InputMismatch``,
      ``UplinkFull``, ``OffsetGap``
"""

from relay_redis.errors import StoreError


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
        seq: The last frame of this generation that the store has.
    """

    def __init__(self, seq: int) -> None:
        super().__init__(f"the store has frames up to seq {seq} only")
        self.seq = seq

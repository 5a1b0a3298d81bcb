"""Errors of the store.

- ``StoreError``
    - ``Unavailable``: try the same again later
    - ``Refused``: the command cannot succeed
        - ``Unencodable``: it cannot even be sent
    - ``Missing``: there is no such conversation
    - ``Unreadable``: the conversation's record is damaged, or of a later version
    - ``Ended``: the conversation is over
    - ``Fenced``: another owner has taken over
    - ``TailLost``: the store has lost frames that were acknowledged
    - of speech, in ``relay_streams.uplink``: ``Busy``, ``Closed``, ``Mismatch``, ``Full``, ``Missed``; and
      ``Unreplicated``, which is an ``Unavailable``
"""


class StoreError(Exception):
    """The root of everything the store raises."""

    retryable = False
    """Whether the same call may succeed later without any change."""


class Unavailable(StoreError):
    """Raised when Redis cannot be reached, does not answer in time, or does not take the command now.

    The command may or may not have been applied. A missing permission and a command that the server does
    not know count as well: somebody mends them while we run.
    """

    retryable = True


class Refused(StoreError):
    """Raised when the command cannot succeed on the data it meets: a defect of the caller or of the data."""


class Unencodable(Refused, ValueError):
    """Raised when a command cannot be written for Redis: it has text that is no Unicode, or no text at all.

    Nothing was sent, and nobody else is affected.
    """


class Missing(StoreError):
    """Raised when there is no such conversation."""


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
    """Raised when the conversation is over."""


class Fenced(StoreError):
    """Raised when an owner writes after another has taken over: nothing was written.

    Attributes:
        generation: The term that holds the conversation now.
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

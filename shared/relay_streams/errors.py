"""Errors of the store.

- ``StoreError``
    - ``Unavailable``: try the same again later
    - ``Refused``: Redis refused the command itself
    - ``Missing``: there is no such conversation
    - ``Unreadable``: the conversation's record is damaged, or of a later version
    - ``Ended``: the conversation is over
    - ``Fenced``: another owner has taken over
    - ``Behind``: the store has lost frames that were acknowledged
"""


class StoreError(Exception):
    """The root of everything the store raises."""

    retryable = False
    """Whether the same call may succeed later without any change."""


class Unavailable(StoreError):
    """Raised when Redis cannot be reached, does not answer in time, or cannot take writes now.

    The command may or may not have been applied.
    """

    retryable = True


class Refused(StoreError):
    """Raised when Redis refused the command: a defect, a wrong setting or a missing permission."""


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


class Behind(StoreError):
    """Raised when the stream ends before the frame that should precede ours: nothing was written.

    Attributes:
        seq: The last frame of this generation that the store has.
    """

    def __init__(self, seq: int) -> None:
        super().__init__(f"the store has frames up to seq {seq} only")
        self.seq = seq

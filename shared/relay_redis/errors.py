"""Errors of the client.

- ``StoreError``
    - ``Unavailable``: the same call may succeed later
    - ``Refused``: the command cannot succeed
        - ``Unencodable``: the command cannot be written
"""


class StoreError(Exception):
    """The root of every error of the client, and of those its callers derive for their data."""

    retryable = False
    """Whether the same call may succeed later without any change."""


class Unavailable(StoreError):
    """Raised when Redis cannot be reached, does not reply in time, or cannot run the command now.

    The command may or may not have been applied. A missing permission and a command that the server does
    not know count as unavailable: an operator can grant or upgrade while the process runs.
    """

    retryable = True


class Refused(StoreError):
    """Raised when the command cannot succeed on the data it meets: a defect of the caller or of the data."""


class Unencodable(Refused, ValueError):
    """Raised when a command cannot be written.

    An argument has no UTF-8 form, or is neither text nor bytes nor a number.
    Nothing was sent, and no other command is affected.
    """

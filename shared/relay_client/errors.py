"""Errors of the viewer.

- ``ViewerError``
    - ``Refused``: the gateway did not open the socket
    - ``Closed``: the gateway closed it for good
"""

from relay_wire.close_codes import CloseCode


class ViewerError(Exception):
    """The root of everything a viewer raises."""


class Refused(ViewerError):
    """Raised when the handshake is refused for a reason that trying again does not mend.

    Attributes:
        status: The HTTP status.
        detail: What the gateway says is wrong.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"HTTP {status}: {detail}")
        self.status = status
        self.detail = detail


class Closed(ViewerError):
    """Raised when the gateway closes with a code that says not to come back.

    Attributes:
        code: The code.
        reason: The text sent with it.
    """

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(f"{code.code} {code.name}: {reason or code.meaning}")
        self.code = code
        self.reason = reason

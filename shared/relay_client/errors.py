"""Errors of the clients, one tree.

- ``RelayError``
    - ``ViewerError``: the viewer's side
        - ``Refused``: the gateway refused the handshake
        - ``Closed``: the gateway closed the socket with a final code
    - ``BackendError``: the backend's side
        - ``RequestRefused``: control refused a request, or an audio socket
        - ``ControlUnavailable``: control was unreachable, or refused every request, for too long
        - ``SpeechError``: the turn of a speech stream stopped before its end
            - ``SpeechInterrupted``: an interrupt, another turn, or too long a silence ended the turn
            - ``SpeechRefused``: control refused the turn
            - ``SpeechLost``: Redis lost audio that the stream no longer has
"""

from relay_wire.close_codes import CloseCode

_SERVER_ERROR = 500


class RelayError(Exception):
    """The root of the errors of both clients."""


# --- the viewer -----------------------------------------------------------------------------------


class ViewerError(RelayError):
    """The root of the errors of a viewer."""


class Refused(ViewerError):
    """Raised when the handshake is refused for a reason that a retry does not remove.

    Attributes:
        status: The HTTP status.
        detail: The gateway's explanation.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"HTTP {status}: {detail}")
        self.status = status
        self.detail = detail


class Closed(ViewerError):
    """Raised when the gateway closes with a final code.

    Attributes:
        code: The code.
        reason: The text sent with it.
    """

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(f"{code.code} {code.name}: {reason or code.meaning}")
        self.code = code
        self.reason = reason


# --- the backend ----------------------------------------------------------------------------------


class BackendError(RelayError):
    """The root of the errors of a backend.

    Attributes:
        action: What the caller should do next; also the end of the error's text.
    """

    def __init__(self, text: str, action: str) -> None:
        super().__init__(f"{text}; {action}")
        self.action = action


class RequestRefused(BackendError):
    """Raised when control answers a request, or the handshake of an audio socket, with an error.

    Attributes:
        status: The HTTP status.
        problem: The problem's name, as in docs/reference/control-api.md; empty when a proxy answered.
        detail: What is wrong with this request.
        retry_after_s: When the same request may succeed, by control's ``Retry-After``.
    """

    def __init__(self, status: int, problem: str, detail: str, retry_after_s: float | None = None) -> None:
        if retry_after_s is not None:
            action = f"try again in {retry_after_s:g} s"
        else:
            action = "try again later" if status >= _SERVER_ERROR else "correct the request"
        super().__init__(f"HTTP {status} {problem}: {detail}", action)
        self.status = status
        self.problem = problem
        self.detail = detail
        self.retry_after_s = retry_after_s


class ControlUnavailable(BackendError):
    """Raised when requests have failed for ``give_up_s``. Whether the last one took effect is unknown."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"control is unavailable: {reason}", "try again later, a turn with the same key")


class SpeechError(BackendError):
    """Raised when a speech stream's turn stops before its end.

    Attributes:
        turn: Its number; 0 when it never opened.
        acknowledged_bytes: How much of it is in the uplink.
    """

    def __init__(self, text: str, action: str, *, turn: int, acknowledged_bytes: int) -> None:
        super().__init__(f"turn {turn}, after {acknowledged_bytes} bytes: {text}", action)
        self.turn = turn
        self.acknowledged_bytes = acknowledged_bytes


class SpeechInterrupted(SpeechError):
    """Raised when the turn was interrupted, another barged in, or it was silent for too long."""

    def __init__(self, *, turn: int, acknowledged_bytes: int) -> None:
        super().__init__(
            "interrupted, or silent for too long",
            "send the rest of the speech as a new turn",
            turn=turn,
            acknowledged_bytes=acknowledged_bytes,
        )


class SpeechRefused(SpeechError):
    """Raised when control does not accept the turn, or no more of it.

    Attributes:
        code: The ``error`` code of the audio socket, as in docs/reference/audio-socket.md: ``turn-open``,
            ``unsupported-audio``, ``mismatch``, ``conversation-ended``, and others.
    """

    _ACTIONS = {  # noqa: RUF012  # never written
        "turn-open": "wait for the end of the other turn, or use barge_in",
        "unsupported-audio": "send mono PCM16 at the conversation's rate, in whole samples",
        "mismatch": "use a key for one turn only",
        "conversation-ended": "create another conversation",
        "unknown-conversation": "create a conversation first",
    }

    def __init__(self, code: str, detail: str, *, turn: int, acknowledged_bytes: int) -> None:
        action = self._ACTIONS.get(code, "correct the messages sent")
        super().__init__(f"{code}: {detail}", action, turn=turn, acknowledged_bytes=acknowledged_bytes)
        self.code = code


class SpeechLost(SpeechError):
    """Raised when Redis has lost acknowledged audio, as in a fail-over, which the stream no longer has."""

    def __init__(self, *, turn: int, acknowledged_bytes: int) -> None:
        super().__init__(
            "Redis lost earlier audio, which this client no longer keeps",
            "interrupt, and speak the turn again as a new one",
            turn=turn,
            acknowledged_bytes=acknowledged_bytes,
        )

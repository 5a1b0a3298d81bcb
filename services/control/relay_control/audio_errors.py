"""Errors of the audio socket: which answer each gets, and which of them close the socket."""

from collections.abc import Mapping

from relay_redis.errors import StoreError
from relay_runtime.http import ErrorTable
from relay_streams.errors import (
    AudioLost,
    Ended,
    InputMismatch,
    Missing,
    SpeakerBusy,
    UplinkFull,
    UplinkRejected,
)
from relay_wire import audio_socket, close_codes
from relay_wire.close_codes import CloseCode, ReconnectAdvice
from relay_wire.pcm import Unsupported, check_rate

_OWN_TEXT = (Ended, UplinkFull, Missing)
"""Errors whose text the relay writes. The text of others may quote Redis."""
_ANSWERS: Mapping[type[UplinkRejected], tuple[str, str, bool]] = {
    SpeakerBusy: (
        "turn-open", "turn {turn} is being spoken by someone else; start with barge_in to cancel it", True
    ),
    InputMismatch: ("mismatch", "{error}: its earlier audio was different", False),
    AudioLost: (
        "audio-lost",
        "Redis has lost audio that was acknowledged; start this turn again to read its offset",
        True,
    ),
}  # fmt: skip
"""Code, text and ``retryable`` of the answer to audio that is rejected while the socket stays open."""


def rejection(error: UplinkRejected) -> audio_socket.Error:
    """The answer to rejected audio. Raises the error itself when the socket cannot stay open."""
    if type(error) not in _ANSWERS:
        raise error
    code, text, retryable = _ANSWERS[type(error)]
    return audio_socket.Error(code, text.format(error=error, turn=error.turn), retryable)


def closing(error: StoreError, errors: ErrorTable) -> tuple[CloseCode, audio_socket.Error]:
    """The close code for an error that ends the socket, and the message to send before the close."""
    problem = errors.problem(error)
    code = close_codes.of_problem(problem.kind)
    text = str(error) if isinstance(error, _OWN_TEXT) else problem.detail
    retryable = code.advice is not ReconnectAdvice.FINAL
    return code, audio_socket.Error(code.name.replace("_", "-"), text, retryable)


def check_format(start: audio_socket.Start, sample_rate: int) -> None:
    """Check the audio format that a turn announces against the conversation's.

    Raises:
        AudioError: The formats differ.
    """
    if start.sample_rate is not None:
        check_rate(int(start.sample_rate), sample_rate)
    if start.channels not in (None, 1):
        raise Unsupported(f"{start.channels} channels: send mono")

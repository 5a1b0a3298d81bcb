"""An outgoing turn: decides which message to send next, over any number of audio sockets. No I/O, no clock.

Each socket begins with ``start`` and the turn's key; the answer has the offset to resume at. Acknowledged
bytes are discarded, the rest is kept (docs/reference/audio-socket.md).
"""

from enum import Enum

from relay_client.errors import SpeechError, SpeechInterrupted, SpeechLost, SpeechRefused
from relay_wire import audio_socket
from relay_wire.close_codes import ReconnectAdvice
from relay_wire.send_buffer import BufferTruncated, SendBuffer

_RESUMED_AT_ONCE = ("restarting", "audio-lost")
"""Retryable errors after which another socket can be opened at once."""
_TURN_OPEN = "turn-open"
"""Retryable once the other turn has ended, which no reconnect waits for."""
_WAV = b"RIFF"


class State(Enum):
    """The state of a turn."""

    OPEN = "open"
    """More audio may be appended."""
    ENDING = "ending"
    """All of its audio is appended here; not all of it is in the uplink."""
    INTERRUPTING = "interrupting"
    """An interrupt is to be sent."""
    ENDED = "ended"
    """All of its audio is in the uplink."""
    INTERRUPTED = "interrupted"
    """Cancelled by this client's interrupt."""


class OutgoingTurn:
    """A turn's audio on its way to control.

    Call ``connect`` for every new socket, then ``next_message`` whenever the socket can send, and ``receive``
    for each answer.

    Args:
        key: Idempotency key. To resume a turn that is in the uplink, in part or whole, append it from its
            first byte: the bytes in the uplink are not sent again.
        barge_in: Cancel the turns that play or wait, when this turn opens.
        traceparent: W3C trace context of the turn.
        tracestate: Its vendors' part.
        sample_rate: Sample rate of the audio, which control checks; None leaves it unchecked.
        max_buffered_bytes: Most audio kept until it is acknowledged.
    """

    def __init__(
        self,
        key: str,
        *,
        barge_in: bool = False,
        traceparent: str = "",
        tracestate: str = "",
        sample_rate: int | None = None,
        max_buffered_bytes: int = 1024 * 1024,
    ) -> None:
        self._start = audio_socket.Start(
            barge_in=barge_in,
            traceparent=traceparent,
            tracestate=tracestate,
            key=key,
            sample_rate=sample_rate,
        )
        self._max_buffered_bytes = max_buffered_bytes
        self._buffer = SendBuffer()
        self._hold = False
        self._interrupt_sent = False
        """Over any socket. It is sent once: a repetition would cancel turns that were opened since."""
        self.state = State.OPEN
        self.number = 0
        """The turn's number; 0 until control has opened it."""
        self.acknowledged_bytes = 0
        """How much of the turn is in the uplink."""
        self.connect()

    @property
    def appended_bytes(self) -> int:
        """Audio appended so far."""
        return self._buffer.end

    @property
    def buffered_bytes(self) -> int:
        """Audio kept because control has not acknowledged it."""
        return len(self._buffer)

    @property
    def over(self) -> bool:
        """Whether nothing is left to send or to receive."""
        return self.state in (State.ENDED, State.INTERRUPTED)

    # --- the speaker -----------------------------------------------------------------------------

    def has_room(self, size_bytes: int) -> bool:
        """Whether audio of this size may be appended now. An empty buffer accepts one piece of any size.

        True for a turn that accepts no more audio: ``append`` raises at once.
        """
        fits = len(self._buffer) + size_bytes <= self._max_buffered_bytes
        return fits or not self._buffer or self.state is not State.OPEN

    def append(self, pcm: bytes) -> None:
        """Add audio to the turn.

        Raises:
            ValueError: The turn accepts no more audio, or the audio is a WAV file.
            SpeechRefused: A repeated turn is longer than it was before.
        """
        if self.state is not State.OPEN:
            raise ValueError(f"the turn accepts no more audio: it is {self.state.value}")
        if not self.appended_bytes and pcm.startswith(_WAV):
            raise ValueError("a WAV file is not PCM: post it, or send its samples only")
        self._buffer.add(pcm)
        self._buffer.trim(self.acknowledged_bytes)
        self._check_length()

    def hold(self) -> None:
        """Keep the turn open while it has no audio."""
        self._hold = True

    def end(self) -> None:
        """End the turn: all of its audio is appended. A second call has no effect.

        Raises:
            ValueError: The turn is being interrupted.
            SpeechRefused: A repeated turn is shorter than it was before.
        """
        if self.state is State.OPEN:
            self.state = State.ENDING if self.appended_bytes else State.ENDED
            self._check_length()
        elif self.state not in (State.ENDING, State.ENDED):
            raise ValueError("an interrupted turn cannot be ended")

    def interrupt(self) -> None:
        """Cancel the turn and every one before it, ahead of unsent audio. A second call has no effect.

        Raises:
            ValueError: All of the turn is in the uplink.
        """
        if self.state is State.ENDED:
            raise ValueError("all of the turn is in the uplink: interrupt the conversation instead")
        if self.state is not State.INTERRUPTED:
            self.state = State.INTERRUPTING

    # --- the connection --------------------------------------------------------------------------

    def connect(self) -> None:
        """Begin a new audio socket: reset the state of the earlier one."""
        self._started = self._answered = self._closing = False
        self._sent_bytes = 0
        self._complete_bytes: int | None = None
        """The turn's length at control, once it has ended there."""

    def next_message(self, max_bytes: int) -> bytes | audio_socket.FromSpeaker | None:
        """The message to send now; None until the turn changes.

        Args:
            max_bytes: Longest piece of audio.

        Raises:
            SpeechLost: Control needs audio that is no longer kept.
        """
        if not self._started:
            self._started = True
            return self._start
        if not self._answered or self._closing or self.over:
            return None
        if self.state is State.INTERRUPTING:
            self._closing = self._interrupt_sent = True
            return audio_socket.Interrupt()
        return None if self._complete_bytes is not None else self._next_of_turn(max_bytes)

    def receive(self, answer: audio_socket.ToSpeaker) -> ReconnectAdvice | None:
        """Handle an answer of control.

        Returns:
            How to reconnect when this socket cannot be used any more; else None.

        Raises:
            SpeechError: The turn stops here.
        """
        match answer:
            case audio_socket.Turn(number):
                self.number = number
            case audio_socket.Ack(number, offset):
                self._on_ack(number, offset)
            case audio_socket.Ended(number, offset):
                self._on_ended(number, offset)
            case audio_socket.Interrupted():
                self._on_interrupted()
            case audio_socket.Error(code, retryable=True) if code != _TURN_OPEN:
                return ReconnectAdvice.RESUME if code in _RESUMED_AT_ONCE else ReconnectAdvice.BACK_OFF
            case audio_socket.Error(code, message):
                raise self.refused(code, message)
        return None

    def refused(self, code: str, detail: str) -> SpeechRefused:
        """Create the error that control refuses this turn."""
        return SpeechRefused(code, detail, turn=self.number, acknowledged_bytes=self.acknowledged_bytes)

    def _next_of_turn(self, max_bytes: int) -> bytes | audio_socket.FromSpeaker | None:
        if pcm := self._unsent(max_bytes):
            self._sent_bytes += len(pcm)
            return pcm
        if self._hold:
            self._hold = False
            return audio_socket.Hold()
        if self.state is State.ENDING:
            self._closing = True
            return audio_socket.End()
        return None

    def _on_ack(self, number: int, offset: int) -> None:
        if not self._answered:
            self._answered = True
            self._sent_bytes = offset
        self.number = number or self.number
        self._acknowledge(offset)

    def _on_ended(self, number: int, offset: int) -> None:
        self._answered = True
        self.number = number
        self._complete_bytes = offset
        self._acknowledge(offset)

    def _on_interrupted(self) -> None:
        self._answered = True
        if self._interrupt_sent:
            self.state = State.INTERRUPTED
        elif self.state is not State.INTERRUPTING:
            raise SpeechInterrupted(turn=self.number, acknowledged_bytes=self.acknowledged_bytes)

    def _acknowledge(self, offset: int) -> None:
        if offset < self._buffer.start:
            raise self._lost()
        self.acknowledged_bytes = offset
        self._buffer.trim(offset)
        self._check_length()

    def _check_length(self) -> None:
        """End a turn that is complete. A turn with another length at control is a mismatch."""
        given, ending = self.appended_bytes, self.state is not State.OPEN
        complete = self._complete_bytes
        if self.state is State.INTERRUPTING:
            return
        if (complete is not None and given > complete) or (ending and given < self.acknowledged_bytes):
            known = self.acknowledged_bytes if complete is None else complete
            raise self.refused("mismatch", f"{given} bytes are given, and control has {known} of this key")
        if ending and given == complete:
            self.state = State.ENDED

    def _unsent(self, max_bytes: int) -> bytes:
        try:
            return self._buffer.read(self._sent_bytes, max_bytes)
        except BufferTruncated:
            raise self._lost() from None

    def _lost(self) -> SpeechError:
        return SpeechLost(turn=self.number, acknowledged_bytes=self.acknowledged_bytes)

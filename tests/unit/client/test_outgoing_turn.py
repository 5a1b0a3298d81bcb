"""An outgoing turn: what is sent next, whatever control answers and wherever the connection breaks."""

import random

import pytest

from relay_client.errors import SpeechInterrupted, SpeechLost, SpeechRefused
from relay_client.outgoing_turn import OutgoingTurn, State
from relay_wire.audio_socket import (
    Ack,
    End,
    Ended,
    Error,
    FromSpeaker,
    Hold,
    Interrupt,
    Interrupted,
    Start,
    Turn,
)
from relay_wire.close_codes import ReconnectAdvice


def messages(turn: OutgoingTurn, max_bytes: int = 100) -> list[bytes | FromSpeaker]:
    """Everything it sends now."""
    sent = []
    while (message := turn.next_message(max_bytes)) is not None:
        sent.append(message)
    return sent


def opened(turn: OutgoingTurn, answer: Ack | Ended | Interrupted | None = None) -> OutgoingTurn:
    """On a new socket, with `start` sent and answered."""
    turn.connect()
    assert isinstance(turn.next_message(100), Start)
    turn.receive(answer or Ack(0, 0))
    return turn


def test_nothing_but_start_is_sent_before_its_answer() -> None:
    turn = OutgoingTurn("k", barge_in=True, sample_rate=16000)
    turn.append(b"abcd")
    assert messages(turn) == [Start(barge_in=True, key="k", sample_rate=16000)]
    turn.receive(Ack(0, 0))
    assert messages(turn) == [b"abcd"]


def test_the_trace_context_is_sent_whole() -> None:
    """Both parts, in the first message of each socket."""
    turn = OutgoingTurn("k", traceparent="00-a-b-01", tracestate="vendor=1")
    for _ in range(2):
        turn.connect()
        assert turn.next_message(100) == Start(traceparent="00-a-b-01", tracestate="vendor=1", key="k")


def test_a_whole_turn() -> None:
    turn = opened(OutgoingTurn("k"))
    turn.append(b"abcdef")
    assert messages(turn, 4) == [b"abcd", b"ef"]
    turn.receive(Turn(3))
    turn.receive(Ack(3, 4))
    assert (turn.number, turn.acknowledged_bytes, turn.buffered_bytes) == (3, 4, 2)
    turn.end()
    assert messages(turn) == [End()]
    turn.receive(Ended(3, 6))
    assert turn.over
    assert turn.buffered_bytes == 0


def test_another_socket_goes_on_at_the_acknowledged_byte() -> None:
    turn = opened(OutgoingTurn("k"))
    turn.append(b"abcdef")
    turn.end()
    assert messages(turn) == [b"abcdef", End()]
    turn.receive(Ack(1, 2))
    opened(turn, Ack(1, 4))
    assert messages(turn) == [b"ef", End()]


def test_the_answer_to_end_got_lost() -> None:
    turn = opened(OutgoingTurn("k"))
    turn.append(b"ab")
    turn.end()
    messages(turn)
    opened(turn, Ended(1, 2))
    assert turn.state is State.ENDED
    assert messages(turn) == []


def test_a_turn_without_audio_is_over_at_once() -> None:
    turn = OutgoingTurn("k")
    turn.end()
    assert turn.over
    assert turn.number == 0


def test_room() -> None:
    """One piece of any size fits into an empty buffer, and nothing beside it."""
    turn = opened(OutgoingTurn("k", max_buffered_bytes=4))
    assert turn.has_room(100)
    turn.append(b"abc")
    assert turn.has_room(1)
    assert not turn.has_room(2)
    messages(turn)
    turn.receive(Ack(1, 2))
    assert turn.has_room(3)


def test_a_hold_follows_the_audio_before_it() -> None:
    turn = opened(OutgoingTurn("k"))
    turn.append(b"ab")
    turn.hold()
    assert messages(turn) == [b"ab", Hold()]
    assert messages(turn) == []


def test_an_interrupt_overtakes() -> None:
    turn = opened(OutgoingTurn("k"))
    turn.append(b"ab")
    turn.interrupt()
    assert messages(turn) == [Interrupt()]
    turn.receive(Interrupted(1))
    assert turn.state is State.INTERRUPTED


def test_an_interrupt_is_sent_again_only_while_the_turn_is_open() -> None:
    turn = opened(OutgoingTurn("k"))
    turn.interrupt()
    messages(turn)
    opened(turn, Ack(1, 2))
    assert messages(turn) == [Interrupt()]
    opened(turn, Interrupted(1))
    assert turn.over


def test_an_interrupt_of_a_turn_that_somebody_else_cut() -> None:
    """It cancels the turns before, too, so it is sent."""
    turn = OutgoingTurn("k")
    turn.interrupt()
    opened(turn, Interrupted(1))
    assert messages(turn) == [Interrupt()]


@pytest.mark.parametrize("how", ["end", "interrupt"])
def test_a_turn_takes_no_more(how: str) -> None:
    turn = opened(OutgoingTurn("k", max_buffered_bytes=1))
    turn.append(b"ab")
    getattr(turn, how)()
    assert turn.has_room(100)
    with pytest.raises(ValueError, match="no more"):
        turn.append(b"cd")


def test_a_wav_file_is_refused() -> None:
    """Its header would count in our offsets, and not in control's."""
    with pytest.raises(ValueError, match="WAV"):
        OutgoingTurn("k").append(b"RIFF\0\0\0\0WAVE")


class TestTheSameKeyAgain:
    """Another stream sends the turn from its first byte."""

    def test_what_is_in_is_not_sent(self) -> None:
        turn = opened(OutgoingTurn("k"), Ack(1, 4))
        turn.append(b"abc")
        assert turn.buffered_bytes == 0
        turn.append(b"def")
        turn.end()
        assert messages(turn) == [b"ef", End()]

    def test_a_complete_turn(self) -> None:
        turn = opened(OutgoingTurn("k"), Ended(1, 4))
        turn.append(b"abcd")
        assert messages(turn) == []
        turn.end()
        assert (turn.state, turn.number) == (State.ENDED, 1)

    def test_longer_than_it_was(self) -> None:
        turn = opened(OutgoingTurn("k"), Ended(1, 4))
        with pytest.raises(SpeechRefused) as refused:
            turn.append(b"abcdef")
        assert (refused.value.code, refused.value.turn) == ("mismatch", 1)

    @pytest.mark.parametrize("answer", [Ended(1, 4), Ack(1, 4)])
    def test_shorter_than_it_was(self, answer: Ack | Ended) -> None:
        turn = opened(OutgoingTurn("k"), answer)
        turn.append(b"ab")
        with pytest.raises(SpeechRefused, match="mismatch"):
            turn.end()

    @pytest.mark.parametrize("answer", [Ended(1, 4), Ack(1, 4)])
    def test_shorter_by_the_answers_offset(self, answer: Ack | Ended) -> None:
        turn = OutgoingTurn("k")
        turn.append(b"ab")
        turn.end()
        with pytest.raises(SpeechRefused, match="mismatch"):
            opened(turn, answer)


def test_lost_audio_that_is_kept_is_sent_again() -> None:
    turn = opened(OutgoingTurn("k"))
    turn.append(b"abcd")
    messages(turn)
    turn.receive(Ack(1, 2))
    turn.append(b"ef")
    opened(turn, Ack(1, 2))
    assert messages(turn) == [b"cdef"]


def test_lost_audio_that_is_not_kept() -> None:
    turn = opened(OutgoingTurn("k"))
    turn.append(b"abcd")
    messages(turn)
    turn.receive(Ack(1, 4))
    with pytest.raises(SpeechLost) as lost:
        opened(turn, Ack(1, 2))
    assert lost.value.acknowledged_bytes == 4
    assert "speak the turn again" in lost.value.action


def test_interrupted_by_somebody_else() -> None:
    turn = opened(OutgoingTurn("k"))
    turn.append(b"ab")
    turn.receive(Ack(5, 2))
    with pytest.raises(SpeechInterrupted) as interrupted:
        turn.receive(Interrupted(5))
    assert (interrupted.value.turn, interrupted.value.acknowledged_bytes) == (5, 2)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("restarting", ReconnectAdvice.RESUME),
        ("audio-lost", ReconnectAdvice.RESUME),
        ("store-unavailable", ReconnectAdvice.BACK_OFF),
        ("not-known-yet", ReconnectAdvice.BACK_OFF),
    ],
)
def test_errors_that_another_socket_recovers(code: str, advice: ReconnectAdvice) -> None:
    assert opened(OutgoingTurn("k")).receive(Error(code, "", retryable=True)) is advice


@pytest.mark.parametrize(("code", "retryable"), [("turn-open", True), ("unsupported-audio", False)])
def test_errors_that_stop_the_turn(code: str, *, retryable: bool) -> None:
    with pytest.raises(SpeechRefused) as refused:
        opened(OutgoingTurn("k")).receive(Error(code, "", retryable=retryable))
    assert refused.value.code == code


class Control:
    """The audio socket's rules for one turn, in memory: whole samples, each byte once."""

    def __init__(self) -> None:
        self.pcm = b""
        self.ended = False
        self._at = 0
        self._odd = b""

    def take(self, message: bytes | FromSpeaker) -> list[Ack | Ended]:
        """Act on a message; returns the answers."""
        match message:
            case Start():
                self._at, self._odd = len(self.pcm), b""
                opened = 1 if self.pcm else 0
                return [Ended(1, self._at) if self.ended else Ack(opened, self._at)]
            case bytes():
                data = self._odd + message
                whole = len(data) & ~1
                self.pcm, self._odd = self.pcm + data[:whole], data[whole:]
                return [Ack(1, len(self.pcm))]
            case End():
                self.ended = True
                return [Ended(1, len(self.pcm))]
        raise AssertionError(message)


@pytest.mark.parametrize("seed", range(200))
def test_cut_anywhere_each_byte_is_in_once(seed: int) -> None:
    """Messages and answers of a socket are lost from some point on, again and again."""
    dice = random.Random(seed)
    pcm, control, turn = dice.randbytes(2 * dice.randrange(1, 300)), Control(), OutgoingTurn("k")
    given = 0
    turn.connect()
    while not turn.over:
        match dice.randrange(10):
            case 0:
                turn.connect()
            case 1 | 2 | 3 if given < len(pcm):
                size = dice.randrange(1, 50)
                turn.append(pcm[given : given + size])
                given = min(given + size, len(pcm))
            case 4 if given == len(pcm):
                turn.end()
            case _:
                message = turn.next_message(dice.randrange(1, 40))
                if message is None:
                    continue
                lost = dice.random()
                if lost < 0.1:
                    turn.connect()
                    continue
                answers = control.take(message)
                if lost < 0.2:
                    turn.connect()
                else:
                    for answer in answers:
                        assert turn.receive(answer) is None
        assert turn.buffered_bytes == given - turn.acknowledged_bytes
    assert control.pcm == pcm
    assert control.ended

"""The comparison of a turn: a whole one passes, and each way of not being whole is named."""

import hashlib
from collections.abc import Callable

import pytest

from relay_cli.verify.turn import ReceivedTurn, SpokenTurn, breaches
from relay_wire import events
from relay_wire.frame import Codec, Flags, Frame, Kind

PCM = b"0123456789"
SPOKEN = SpokenTurn.of(1, PCM)
MOTION = [b"first motion", b"last motion"]
ANSWER = [hashlib.sha256(payload).hexdigest() for payload in MOTION]


def frame(kind: Kind, payload: bytes = b"", *, end: bool = False) -> Frame:
    return Frame(kind, Flags(end), Codec.PCM_S16LE, 1, 5, 1, 0, 0, payload)


def event(value: events.Event) -> Frame:
    return frame(Kind.EVENT, events.encode(value))


STARTED, ENDED = event(events.TurnStarted()), event(events.TurnEnded("complete"))
AUDIO = [frame(Kind.AUDIO, PCM[:6]), frame(Kind.AUDIO, PCM[6:], end=True)]
MOTIONS = [frame(Kind.MOTION, MOTION[0]), frame(Kind.MOTION, MOTION[1], end=True)]
SWITCH = frame(Kind.MOTION, end=True)
WHOLE = [STARTED, AUDIO[0], MOTIONS[0], AUDIO[1], MOTIONS[1], ENDED]


def received(frames: list[Frame]) -> ReceivedTurn:
    turn = ReceivedTurn()
    for one in frames:
        turn.add(one, events.decode(one.payload) if one.kind is Kind.EVENT else None)
    return turn


def without(*left_out: Frame) -> list[Frame]:
    return [one for one in WHOLE if one not in left_out]


def test_a_whole_turn() -> None:
    """Audio as sent, motion as the simulator sent it, one start, one END and one end."""
    turn = received(WHOLE)
    assert breaches(turn, SPOKEN, [["other"], ANSWER]) == []
    assert turn.motion == ANSWER
    assert not turn.is_audio_only


def test_a_turn_that_continued_without_motion() -> None:
    """It is whole with the beginning of an answer, and counted as one without motion."""
    ended = event(events.TurnEnded("audio_only"))
    only = event(events.AudioOnly("vendor_lost"))
    turn = received([STARTED, AUDIO[0], MOTIONS[0], only, SWITCH, AUDIO[1], ended])
    assert turn.is_audio_only
    assert breaches(turn, SPOKEN, [ANSWER]) == []
    assert breaches(turn, SPOKEN, [["other"]]) != []


def test_a_turn_that_never_had_motion() -> None:
    """There is no answer to compare with."""
    ended = event(events.TurnEnded("audio_only"))
    assert breaches(received([STARTED, SWITCH, *AUDIO, ended]), SPOKEN, [["other"]]) == []


def test_two_viewers_of_the_same_frames_have_the_same_digest() -> None:
    """One other byte in a header is another digest."""
    later = [one._replace(seq=2) if one is MOTIONS[1] else one for one in WHOLE]
    assert received(WHOLE).frames_sha256 == received(WHOLE).frames_sha256
    assert received(WHOLE).frames_sha256 != received(later).frames_sha256


def test_an_event_after_the_end_is_not_in_the_digest() -> None:
    """The turns are compared at once when each viewer has the end: one of them may have the event already."""
    error = event(events.Error("motion_failed", "away", retryable=True))
    assert received([*WHOLE, error]).frames_sha256 == received(WHOLE).frames_sha256
    assert received([*WHOLE[:-1], error, ENDED]).frames_sha256 != received(WHOLE).frames_sha256


@pytest.mark.parametrize(
    ("frames", "named"),
    [
        (without(AUDIO[0]), "its audio of 4 bytes is not the 10 bytes sent"),
        (
            [STARTED, AUDIO[0], MOTIONS[0], frame(Kind.AUDIO, b"9876", end=True), ENDED],
            "its audio of 10 bytes",
        ),
        (without(STARTED), "turn_started"),
        ([STARTED, *WHOLE], "turn_started"),
        ([*WHOLE, AUDIO[0]], "turn_ended is not its last"),
        ([*WHOLE, ENDED], "turn_ended"),
        ([STARTED, MOTIONS[0], *AUDIO, MOTIONS[1], ENDED], "motion is before audio"),
        ([STARTED, AUDIO[0], MOTIONS[0], frame(Kind.AUDIO, PCM[6:]), ENDED], "0 audio frames have END"),
        ([*WHOLE[:-1], frame(Kind.AUDIO, end=True), ENDED], "2 audio frames have END"),
        ([STARTED, AUDIO[0], SWITCH, MOTIONS[0], AUDIO[1], ENDED], "motion follows the switch"),
        ([*WHOLE[:-1], event(events.TurnEnded("failed"))], "it ended as failed"),
        (WHOLE[:-1], "it ended as nothing"),
        (without(*MOTIONS), "it is complete without motion"),
        (without(MOTIONS[1]), "its 1 motion payloads are not those"),
    ],
)
def test_a_turn_that_is_not_whole(frames: list[Frame], named: str) -> None:
    """The breach is named."""
    found = breaches(received(frames), SPOKEN, [ANSWER])
    assert any(named in breach for breach in found), found


def test_without_a_simulator_motion_is_not_judged() -> None:
    """Any motion passes; that viewers received the same is another comparison."""
    check: Callable[[list[Frame]], list[str]] = lambda frames: breaches(received(frames), SPOKEN)  # noqa: E731
    assert check(without(MOTIONS[1])) == []


def test_other_events_do_not_count() -> None:
    """An interrupt after the end, as the end of a conversation makes it, is no bound and no media."""
    turn = received([event(events.Interrupted("ended"))])
    assert turn.order == []

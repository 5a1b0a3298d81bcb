"""Rounds, by the messages of one socket."""

import json

import pytest
from tests.load.rounds import Breach, Rounds


def audio(turn: int, *, last: bool = False) -> str:
    return json.dumps({"type": "avatar_audio", "audio": "", "isLast": last, "turnId": str(turn), "seq": 1})


def motion(turn: int, *, last: bool = False, frames: tuple[str, ...] = ("AAAA",)) -> str:
    message = {"type": "avatar_frames", "frames": frames, "isLast": last, "turnId": str(turn), "seq": 1}
    return json.dumps(message)


def message(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields})


def test_a_turn_is_one_round_and_motion_may_follow_its_audio() -> None:
    """Rounds are counted when their last audio comes."""
    rounds = Rounds()
    kinds = [
        rounds.receive(text)
        for text in (
            message("ready"), audio(1), motion(1), audio(1, last=True), motion(1, last=True), audio(2),
            message("interrupt", reason="client_interrupt"), audio(2, last=True), audio(4, last=True),
        )
    ]  # fmt: skip

    assert kinds.count("avatar_audio") == 5
    assert (rounds.closed, rounds.turn, rounds.ended) == (3, "4", False)


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([audio(1), audio(2)], "while the round before it was open"),
        ([audio(1, last=True), audio(1)], "after the last audio"),
        ([audio(1, last=True), audio(2, last=True), audio(1)], "played twice"),
        ([motion(1)], "outside its round"),
        ([audio(1), motion(2)], "outside its round"),
        ([audio(1), motion(1, last=True), motion(1)], "outside its round"),
        ([audio(1, last=True), message("interrupt"), motion(1)], "outside its round"),
        ([audio(1), motion(1, frames=())], "empty list"),
        (["[]"], "not a message"),
        (["{"], "not a message"),
        ([message("avatar_audio")], "not a message"),
    ],
)
def test_what_a_client_could_not_play_is_a_breach(texts: list[str], reason: str) -> None:
    """The last of these messages breaks a rule."""
    rounds = Rounds()
    for text in texts[:-1]:
        rounds.receive(text)
    with pytest.raises(Breach, match=reason):
        rounds.receive(texts[-1])


def test_the_end_of_a_conversation_is_a_status() -> None:
    """Other statuses are for the app's log."""
    rounds = Rounds()
    rounds.receive(message("status", message="the avatar continues without motion: late"))
    assert not rounds.ended
    rounds.receive(message("status", message="the conversation is over: deleted"))
    assert rounds.ended

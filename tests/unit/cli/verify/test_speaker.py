"""The speech of a verification."""

from relay_cli.verify.speaker import Speech


def test_every_turn_has_its_own_speech() -> None:
    """Turns have the wanted length, and no two the same audio."""
    speech = Speech(3000)
    turns = [speech.turn(number) for number in range(1, 200)]
    assert {len(turn) for turn in turns} == {3000 * speech.sample_rate * 2 // 1000}
    assert len(set(turns)) == len(turns)


def test_speech_longer_than_the_clip() -> None:
    """The clip is repeated."""
    assert len(Speech(30_000).turn(7)) == 30 * Speech(30_000).sample_rate * 2

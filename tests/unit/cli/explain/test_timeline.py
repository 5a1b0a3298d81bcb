"""Timeline: the summary of a turn."""

from tests.rigs.stored_turns import START_S, Frames, complete

from relay_cli.explain.timeline import timeline

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-00f067aa0ba902b7-00"


def test_a_complete_turn() -> None:
    found = timeline(complete().turn(), conversation="c", owner="w", traceparent=TRACE, waiting="")

    assert (found.conversation, found.turn, found.state, found.owner) == ("c", 3, "complete", "w")
    assert (found.first_position, found.last_position, found.frames) == ("100-11", "100-16", 6)
    assert found.origin_ms == START_S * 1000
    assert found.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert found.motion_lead_min_s is not None
    assert found.slowest == "Motion Server, first motion"
    assert found.verdict.startswith("The slowest hop is Motion Server, first motion")


def test_a_turn_under_way() -> None:
    """The context of its frames comes before that of its input; without any it has none."""
    turn = Frames().audio(0.0, 1.0, traceparent=TRACE).turn()
    found = timeline(turn, conversation="c", owner="", traceparent=OTHER, waiting="2 entries")

    assert (found.state, found.traceparent, found.waiting) == ("under way", TRACE, "2 entries")
    assert found.motion_lead_min_s is None

    found = timeline(Frames().motion(0.0, 1).turn(), conversation="c", owner="", traceparent="", waiting="")
    assert (found.trace_id, found.slowest) == ("", "")

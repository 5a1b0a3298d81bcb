"""The playback of a turn: reports move its end within bounds, whatever is reported in whatever order."""

from hypothesis import given
from hypothesis import strategies as st

from relay_turns.playback import PlaybackLimits, TurnPlayback

LIMITS = PlaybackLimits(grace_s=0.5, report_s=10.0, viewers=2)
REPORTS = st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.floats(0, 200)), max_size=30)


@given(REPORTS)
def test_the_end_has_bounds(reports: list[tuple[str, float | None]]) -> None:
    """Not before the computed end, nor later than the reports may move it."""
    playback = TurnPlayback(100.0, LIMITS)
    for viewer, until in reports:
        if until is None:
            playback.finish(viewer)
        else:
            playback.report(viewer, until)
        assert 100.0 <= playback.ends_at <= 110.5


def test_a_report_of_a_viewer_that_is_not_behind_changes_nothing() -> None:
    """The wait includes it anyway; it does not count among the viewers behind."""
    playback = TurnPlayback(100.0, LIMITS)
    for viewer in "abcd":
        assert playback.report(viewer, 99.5)
    assert playback.ends_at == 100.5


def test_a_viewers_last_report_counts() -> None:
    """Also when it has caught up since."""
    playback = TurnPlayback(100.0, LIMITS)
    playback.report("a", 105.0)
    assert playback.ends_at == 105.5
    playback.report("a", 99.0)
    assert playback.ends_at == 100.5


def test_more_viewers_than_can_be_waited_for() -> None:
    """Further ones are refused until one of those has finished."""
    playback = TurnPlayback(100.0, LIMITS)
    assert playback.report("a", 103.0)
    assert playback.report("b", 104.0)
    assert not playback.report("c", 109.0)
    assert playback.ends_at == 104.5
    playback.finish("b")
    assert playback.report("c", 109.0)
    assert playback.ends_at == 109.5

"""For how long what ended conversations leave is kept."""

import pytest

from relay_settings.ended import EndedSettings


@pytest.mark.parametrize(
    ("settings", "recorded", "frames_ms", "record_ms"),
    [
        ({}, False, 60_000, 86_400_000),
        ({}, True, 86_400_000, 86_400_000),
        ({"keep_ended_s": 100_000}, False, 100_000_000, 100_000_000),
        ({"keep_ended_s": 100_000}, True, 100_000_000, 100_000_000),
        ({"keep_recorded_s": 0}, True, 60_000, 86_400_000),
    ],
)
def test_frames_and_records(
    settings: dict[str, float], *, recorded: bool, frames_ms: int, record_ms: int
) -> None:
    """Frames that are not copied yet stay longer, and the record stays as long as the frames."""
    kept = EndedSettings.load(**settings)
    assert kept.keep_frames_ms(recorded=recorded) == frames_ms
    assert kept.keep_record_ms(recorded=recorded) == record_ms

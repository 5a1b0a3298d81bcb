"""Settings of usage: what is counted per API key and day, and for how long it is kept."""

from pydantic import Field

from relay_settings.base import Settings


class UsageSettings(Settings):
    """Usage, as the jobs service counts it."""

    usage_keep_days: int = Field(
        400, ge=1, le=3660, description="How long the counts of a day are kept after it was counted for last."
    )
    usage_settle_s: float = Field(
        15.0,
        gt=0,
        description="Interval at which viewer time, and Motion sessions without a reported end, are counted.",
    )
    usage_session_s: float = Field(
        600.0,
        gt=0,
        description="Longest time that a Motion session counts whose end nobody reports: the plan's limit.",
    )
    usage_grace_s: float = Field(
        60.0, ge=0, description="How long such a report may be late before the session's end is estimated."
    )

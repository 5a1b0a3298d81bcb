"""Settings of the reaper: when a conversation that nobody ended is over, and what is left behind."""

from pydantic import Field

from relay_settings.ended import EndedSettings


class ReaperSettings(EndedSettings):
    """The reaper, as the jobs service runs it."""

    conversation_ttl_s: float = Field(
        7200.0,
        ge=0,
        description="How long a conversation may have neither viewers nor traffic before the reaper ends it,"
        " with or without an owner; 0: for ever. More than RELAY_CONVERSATION_IDLE_S, after which its owner"
        " ends it, and several times RELAY_PRESENCE_S.",
    )
    reaper_s: float = Field(60.0, gt=0, description="Interval of the reaper.")
    reaper_keys: int = Field(
        100_000,
        ge=1000,
        description="Most keys of one server that it looks at each time; the next time it continues there.",
    )
    reaper_gone_s: float = Field(
        600.0,
        gt=0,
        description="How long an end may have been requested without an owner before the reaper ends the"
        " conversation itself; also how long a record must be gone, or a consumer silent, before what is"
        " left of it is removed.",
    )

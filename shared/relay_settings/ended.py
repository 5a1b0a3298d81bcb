"""Settings of ended conversations: for how long what they leave is kept."""

from pydantic import Field

from relay_settings.base import Settings


class EndedSettings(Settings):
    """Of every process that ends conversations."""

    keep_ended_s: float = Field(60.0, ge=0, description="How long frames stay after a conversation ended.")
    keep_recorded_s: float = Field(
        86_400.0,
        ge=0,
        description="How long frames that are not copied yet stay after a recorded conversation ended.",
    )
    keep_record_s: float = Field(86_400.0, ge=60, description="How long the record stays after that end.")

    def keep_frames_ms(self, *, recorded: bool) -> int:
        """How long the frames of a conversation stay, recorded or not, in ms."""
        return int(max(self.keep_ended_s, self.keep_recorded_s if recorded else 0.0) * 1000)

    def keep_record_ms(self, *, recorded: bool) -> int:
        """How long its record stays, in ms: not less."""
        return max(int(self.keep_record_s * 1000), self.keep_frames_ms(recorded=recorded))

"""Settings of the outbox: whether what happens in conversations is stored for jobs, and how much of it."""

from pydantic import Field

from relay_settings.base import Settings


class OutboxSettings(Settings):
    """The outbox: the same at control, gateways, ingest and jobs."""

    jobs: bool = Field(
        False,
        description="Whether what happens in conversations is stored for the jobs service, in the outbox;"
        " without that service it would only fill.",
    )
    outbox_entries: int = Field(
        10_000,
        ge=100,
        description="Most entries of the outbox that wait, per partition; beyond it the oldest are discarded"
        " and counted.",
    )

    @property
    def outbox_bound(self) -> int:
        """Most entries of the outbox per partition; 0: nothing is stored."""
        return self.outbox_entries if self.jobs else 0

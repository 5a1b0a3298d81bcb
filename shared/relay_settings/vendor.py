"""Settings of the vendor's cloud, under the vendor's own variable names (facts 0)."""

from pydantic import SecretStr

from relay_settings.base import Settings, named, reveal


class VendorSettings(Settings):
    """The vendor's app, avatar and region; no secrets."""

    app_id: str = named("SPATIUS_APP_ID", "The vendor's app id.", default="")
    avatar_id: str = named("SPATIUS_AVATAR_ID", "Avatar of conversations that name none.", default="")
    region: str = named(
        "SPATIUS_REGION",
        "The vendor's region; pinned, since 'auto' asks a further host at each start.",
        default="us-west",
    )


class VendorAccountSettings(VendorSettings):
    """The account at the vendor, for processes that call its Console API."""

    vendor_api_key: SecretStr | None = named(
        "SPATIUS_API_KEY",
        "The vendor's API key: ingest needs it, control for session tokens only.",
        default=None,
    )
    console_endpoint: str = named(
        "SPATIUS_CONSOLE_ENDPOINT", "The vendor's Console API; empty: composed from the region.", default=""
    )

    @property
    def vendor_key(self) -> str:
        """The vendor's API key in clear, for calls to the vendor only; empty: there is none."""
        return reveal(self.vendor_api_key)

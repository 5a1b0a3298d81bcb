"""Settings of the vendor's cloud, under the vendor's own variable names (facts 0)."""

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import CliSuppress

from relay_settings.base import Settings, reveal, secret


class VendorSettings(Settings):
    """Which of the vendor's apps and regions; nothing secret."""

    app_id: str = Field(
        "", validation_alias=AliasChoices("SPATIUS_APP_ID", "app_id"), description="The vendor's app id."
    )
    avatar_id: str = Field(
        "",
        validation_alias=AliasChoices("SPATIUS_AVATAR_ID", "avatar_id"),
        description="Avatar of conversations that name none.",
    )
    region: str = Field(
        "us-west",
        validation_alias=AliasChoices("SPATIUS_REGION", "region"),
        description="The vendor's region; pinned, since 'auto' asks a further host at each start.",
    )


class VendorAccountSettings(VendorSettings):
    """The account at the vendor, for processes that call its Console API."""

    vendor_api_key: CliSuppress[SecretStr | None] = secret(
        "SPATIUS_API_KEY",
        "The vendor's API key: ingest needs it, control for session tokens only.",
        default=None,
    )
    console_endpoint: str = secret(
        "SPATIUS_CONSOLE_ENDPOINT", "The vendor's Console API; empty: composed from the region.", default=""
    )

    @property
    def vendor_key(self) -> str:
        """The vendor's API key in clear, for calls to the vendor only; empty: there is none."""
        return reveal(self.vendor_api_key)

"""Settings of the vendor's cloud, under the vendor's own variable names (facts 0)."""

from pydantic import AliasChoices, Field

from relay_settings.base import Settings


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

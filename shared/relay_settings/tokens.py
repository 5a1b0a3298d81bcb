"""Settings of viewer tokens: control signs them, gateways check them."""

from pydantic import SecretStr
from pydantic_settings import CliSuppress

from relay_settings.base import Settings, reveal, secret


class TokenSettings(Settings):
    """The key viewer tokens are signed with."""

    token_secret: CliSuppress[SecretStr] = secret(
        "RELAY_TOKEN_SECRET",
        "Key of viewer tokens (HS256), 32 characters or more, the same at control and gateways.",
        min_length=32,
    )

    @property
    def token_key(self) -> str:
        """The key in clear, for signing and checking only."""
        return reveal(self.token_secret)

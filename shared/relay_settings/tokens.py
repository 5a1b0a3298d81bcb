"""Settings of viewer tokens: control signs them, gateways check them."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from relay_settings.base import Settings, named, reveal


class TokenSettings(Settings):
    """The keys of viewer tokens."""

    token_secret: SecretStr | None = named(
        "RELAY_TOKEN_SECRET",
        "One key for viewer tokens (HS256), 32 characters or more, the same at control and gateways.",
        default=None,
        min_length=32,
    )
    token_keys_dir: Path | None = Field(
        None,
        description="Folder of named keys, read again when it changes: <kid>.hs256 is a secret of 32 bytes or"
        " more, <kid>.pem an Ed25519 key (public: checks; private: also signs). The file 'current' names the"
        " kid that signs; without it the last that can. A key is removed within 5 s after its file is"
        " removed or invalid; while the folder cannot be read, its keys are valid for 30 s more.",
    )
    token_leeway_s: float = Field(
        5.0, ge=0, le=300, description="How far the clocks of control and gateways may differ."
    )

    @property
    def token_key(self) -> str:
        """The single key in clear, for signing and checking only; empty: there is none."""
        return reveal(self.token_secret)

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if self.token_secret is None and self.token_keys_dir is None:
            raise ValueError("set RELAY_TOKEN_SECRET or RELAY_TOKEN_KEYS_DIR")
        return self

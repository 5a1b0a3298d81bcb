"""Settings of everything that talks to Redis."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from relay_settings.base import Settings, named, reveal
from relay_settings.redis_url import RedisUrl, complete, has_credentials

DEFAULT_PARTITIONS = 16
DEFAULT_KEY_PREFIX = "relay"


class StoreSettings(Settings):
    """Where Redis is and how long to wait for it."""

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis 7 or later, or Valkey: redis://[user:password@]host:port/db,"
        " redis+sentinel://[user:password@]host:port,.../<master name>[/db]"
        " or redis+cluster://[user:password@]host:port,...; rediss instead of redis for TLS.",
    )
    redis_username: str = Field(
        "", description="ACL user at Redis, when the URL names none; empty: the default user."
    )
    redis_password: SecretStr | None = named(
        "RELAY_REDIS_PASSWORD", "Password at Redis, when the URL has none.", default=None
    )
    redis_ca_file: Path | None = Field(
        None,
        description="Authorities that Redis's certificate may come from, in PEM; unset: the system's. For"
        " rediss:// only.",
    )
    redis_timeout_s: float = Field(
        2.0,
        gt=0,
        description="Longest wait for a connection, a write or a reply of Redis, in seconds: a server that is"
        " silent for longer counts as dead, and its successor is looked for.",
    )
    key_prefix: str = Field(
        DEFAULT_KEY_PREFIX,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.:-]{0,62}[A-Za-z0-9])?$",
        description="What every key and channel in Redis begins with, and an ACL's patterns: letters, digits"
        " and _.:- only; the same for every process. Relays with different prefixes can share a database.",
    )
    partitions: int = Field(
        DEFAULT_PARTITIONS,
        ge=1,
        le=10_000,
        description="Hash tags conversations are spread over; the same for every process: Redis keeps the"
        " number, and a process that has another does not start.",
    )

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr) -> SecretStr:
        RedisUrl.parse(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        url = reveal(self.redis_url)
        if self.redis_ca_file is not None and not url.startswith("rediss"):
            raise ValueError("RELAY_REDIS_CA_FILE needs a RELAY_REDIS_URL that begins with rediss")
        if (self.redis_username or self.redis_password is not None) and has_credentials(url):
            raise ValueError("RELAY_REDIS_URL has credentials, so there can be no others")
        return self

    @property
    def store_url(self) -> str:
        """The Redis URL in clear, with credentials and authorities, for the connection only."""
        return complete(
            reveal(self.redis_url),
            username=self.redis_username,
            password=reveal(self.redis_password),
            ca_file="" if self.redis_ca_file is None else str(self.redis_ca_file),
        )

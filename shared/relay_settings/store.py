"""Settings of everything that talks to Redis."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import CliSuppress

from relay_settings.base import Settings, reveal

_SCHEMES = ("redis://", "rediss://", "unix://")


class StoreSettings(Settings):
    """Where Redis is and how long to wait for it."""

    redis_url: CliSuppress[SecretStr] = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis 7 or later, or Valkey: redis://[user:password@]host:port/db, rediss:// for TLS.",
    )
    redis_timeout_s: float = Field(
        5.0, gt=0, description="Longest wait for a connection, a write or a reply of Redis, in seconds."
    )
    partitions: int = Field(
        16,
        ge=1,
        le=10_000,
        description="Hash tags conversations are spread over; the same for every process, fixed for life.",
    )

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(_SCHEMES):
            raise ValueError(f"a URL that begins with {', '.join(_SCHEMES)}")
        return value

    @property
    def store_url(self) -> str:
        """The Redis URL in clear, for the connection only."""
        return reveal(self.redis_url)

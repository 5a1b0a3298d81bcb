"""Settings of everything that talks to Redis."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import CliSuppress

from relay_settings.base import Settings, reveal
from relay_settings.redis_url import RedisUrl


class StoreSettings(Settings):
    """Where Redis is and how long to wait for it."""

    redis_url: CliSuppress[SecretStr] = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis 7 or later, or Valkey: redis://[user:password@]host:port/db,"
        " redis+sentinel://[user:password@]host:port,.../<master name>[/db]"
        " or redis+cluster://[user:password@]host:port,...; rediss instead of redis for TLS.",
    )
    redis_timeout_s: float = Field(
        2.0,
        gt=0,
        description="Longest wait for a connection, a write or a reply of Redis, in seconds: a server that is"
        " silent for longer counts as dead, and its successor is looked for.",
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
        RedisUrl.parse(value.get_secret_value())
        return value

    @property
    def store_url(self) -> str:
        """The Redis URL in clear, for the connection only."""
        return reveal(self.redis_url)

"""Settings of everything that talks to Redis."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from relay_settings.base import Settings, named, reveal
from relay_settings.environment import TEXT, secret_file
from relay_settings.redis_url import (
    PROVIDER,
    Credentials,
    RedisUrl,
    complete,
    has_credentials,
    node_addresses,
)

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
    redis_credential_provider: str = Field(
        "",
        description="Function as module:name that returns user and password, called for each connection: for"
        " tokens that expire, as those of cloud identities. Files of RELAY_SECRETS_DIR need none: they are"
        " read again for each connection.",
    )
    redis_node_addresses: str = Field(
        "",
        description="Where nodes can be reached that sentinels or a cluster announce by addresses of another"
        " network: announced=reachable,... with host:port, or host for every port, on both sides.",
    )
    redis_ca_file: Path | None = Field(
        None,
        description="Certificate authorities of Redis's certificate, in PEM; unset: the system's. For"
        " rediss:// only.",
    )
    redis_timeout_s: float = Field(
        2.0,
        gt=0,
        description="Longest wait for a connection, a write or a reply of Redis, in seconds: a server that is"
        " silent for longer counts as dead, and its successor is looked for.",
    )
    redis_heartbeat_s: float = Field(
        1.0,
        gt=0,
        description="Interval of the heartbeat, in seconds: it uses Redis as the process does, and its result"
        " decides readiness. Redis's own timeout for idle connections must be longer.",
    )
    key_prefix: str = Field(
        DEFAULT_KEY_PREFIX,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.:-]{0,62}[A-Za-z0-9])?$",
        description="Prefix of every key and channel in Redis, and of an ACL's patterns: letters, digits"
        " and _.:- only; the same for every process. Relays with different prefixes can share a database.",
    )
    partitions: int = Field(
        DEFAULT_PARTITIONS,
        ge=1,
        le=10_000,
        description="Hash tags conversations are spread over; the same for every process: Redis keeps the"
        " number, and a process with another number does not start.",
    )

    _files: dict[str, str] = PrivateAttr(default_factory=dict)
    """Options of the URL: the files that credentials came from."""

    @field_validator("redis_credential_provider")
    @classmethod
    def _is_a_function(cls, value: str) -> str:
        if value and not PROVIDER.fullmatch(value):
            raise ValueError("it must be module:name")
        return value

    @field_validator("redis_node_addresses")
    @classmethod
    def _are_pairs(cls, value: str) -> str:
        node_addresses(value)
        return value

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
        others = bool(self.redis_username or self.redis_password is not None)
        if (others or self.redis_credential_provider) and has_credentials(url):
            raise ValueError("RELAY_REDIS_URL has credentials, so there can be no others")
        if others and self.redis_credential_provider:
            raise ValueError(
                "RELAY_REDIS_CREDENTIAL_PROVIDER gives user and password, so there can be no"
                " RELAY_REDIS_USERNAME or RELAY_REDIS_PASSWORD"
            )
        if self.redis_node_addresses and RedisUrl.parse(url).topology == "node":
            raise ValueError("RELAY_REDIS_NODE_ADDRESSES needs a RELAY_REDIS_URL of sentinels or a cluster")
        return self

    @property
    def store_url(self) -> str:
        """The Redis URL in clear, with credentials and options, for connections only.

        Credentials from a file of secrets are replaced by the file's path: each connection reads the file
        again.
        """
        return complete(
            reveal(self.redis_url),
            Credentials(
                "" if "username_file" in self._files else self.redis_username,
                "" if "password_file" in self._files else reveal(self.redis_password),
            ),
            **self._files,
            ssl_ca_certs="" if self.redis_ca_file is None else str(self.redis_ca_file),
            credential_provider=self.redis_credential_provider,
            node_addresses=self.redis_node_addresses,
        )

    def model_post_init(self, _: Any, /) -> None:
        """Note which credentials came from files."""
        url = reveal(self.redis_url)
        values = {
            "username": self.redis_username,
            "password": reveal(self.redis_password),
            "url": url if has_credentials(url) else "",
        }
        for name, value in values.items():
            path = secret_file(f"RELAY_REDIS_{name.upper()}") if value else None
            if path is not None and path.read_text(TEXT, "replace").strip() == value:
                self._files[f"{name}_file"] = str(path)

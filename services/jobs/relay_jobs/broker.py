"""The broker: the relay's URL of it, in the terms of Celery."""

import ssl
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

from relay_redis.credentials import set_credential_provider
from relay_settings.base import SettingsError
from relay_settings.jobs import JobsSettings
from relay_settings.redis_url import Credentials, RedisUrl, credentials_of

_HEALTH_S: Final = 5
"""Interval of checks on connections that wait for tasks: a half-open one is replaced within 11 s."""
_RESTORE_LOCK_S: Final = 10
"""How long a worker that is killed while it looks for lost tasks keeps the others from it: by default 300 s.

Two that look at once deliver no task twice: Kombu moves each in a transaction.
"""
_CHECKS: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_FALSE: Final = ("false", "no", "off", "0")


class Broker(NamedTuple):
    """The broker, in the terms of Celery."""

    url: str
    """With credentials, for Celery only."""
    options: Mapping[str, Any]
    """Of the transport."""
    tls: Mapping[str, Any] | None
    credentials: Any
    """Redis's provider of credentials that change; None: those of the URL."""
    where: str
    """The addresses, without credentials, for messages."""

    @classmethod
    def of(cls, settings: JobsSettings) -> "Broker":
        """The broker that settings name.

        Raises:
            SettingsError: Celery cannot use it.
        """
        parsed = RedisUrl.parse(settings.broker_url)
        query = dict(parse_qsl(urlsplit(parsed.plain).query))
        if "node_addresses" in query:
            raise SettingsError(
                "RELAY_JOBS_BROKER_URL is missing: Celery does not know RELAY_REDIS_NODE_ADDRESSES"
            )
        fixed = credentials_of(parsed.plain) or Credentials()
        changing = {**query, **fixed._asdict()}
        set_credential_provider(changing)
        provider = changing.get("credential_provider")
        return cls(
            _url(parsed, Credentials() if provider else fixed, query.get("db")),
            {**_options(settings), **_sentinels(settings, parsed, query)},
            _tls(query) if parsed.plain.startswith("rediss") else None,
            provider,
            parsed.where,
        )


def _options(settings: JobsSettings) -> dict[str, Any]:
    timeout_s = settings.jobs_broker_timeout_s
    return {
        "global_keyprefix": f"{settings.key_prefix}:jobs:",
        "visibility_timeout": settings.redelivery_s,
        # By default a lost task is looked for every 100 s only.
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": _RESTORE_LOCK_S,
        "priority_steps": [0],
        "health_check_interval": _HEALTH_S,
        "socket_connect_timeout": timeout_s,
        "socket_timeout": timeout_s,  # more than the second that BRPOP waits
        "socket_keepalive": True,
        "retry_on_timeout": False,
        # Whoever sends does not wait for a broker that is away; consumers have a policy of their own.
        "max_retries": 0,
        "connect_retries_timeout": timeout_s,
    }


def _sentinels(settings: JobsSettings, parsed: RedisUrl, query: Mapping[str, str]) -> dict[str, Any]:
    if parsed.topology != "sentinel":
        return {}
    timeout_s = settings.jobs_broker_timeout_s
    own = {
        name: query[f"sentinel_{name}"] for name in ("username", "password") if f"sentinel_{name}" in query
    }
    return {
        "master_name": parsed.master,
        "sentinel_kwargs": {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, **own},
    }


def _url(parsed: RedisUrl, credentials: Credentials, database: str | None) -> str:
    parts = urlsplit(parsed.plain)
    username, password = (quote(part, safe="") for part in credentials)
    user = f"{username}:{password}@" if any(credentials) else ""
    if parts.scheme == "unix":
        return f"redis+socket://{user}{parts.path}?virtual_host={database or 0}"
    database = database or parts.path.strip("/") or "0"
    if parsed.topology == "sentinel":
        return ";".join(f"sentinel://{user}{address}/{database}" for address in parsed.addresses)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{user}{host}/{database}"


def _tls(query: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {name: text for name, text in query.items() if name.startswith("ssl_")}
    options["ssl_cert_reqs"] = _CHECKS[options.get("ssl_cert_reqs", "required")]
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"].lower() not in _FALSE
    return options

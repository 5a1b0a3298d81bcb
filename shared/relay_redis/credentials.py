"""Credentials that change: read again from files, or fetched again from a provider, at each connect."""

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, cast

from redis import exceptions
from redis.credentials import CredentialProvider as RedisProvider

from relay_settings.base import SettingsError
from relay_settings.redis_url import Credentials, credentials_of


class CredentialProvider(Protocol):
    """The function or coroutine function without arguments that ``RELAY_REDIS_CREDENTIAL_PROVIDER`` names.

    It is called for each connection that opens, in any process of the relay, to any server of Redis's
    topology, and should return within ``RELAY_REDIS_TIMEOUT_S``. A plain function runs in a thread. An
    exception ends the attempt, and the next one calls it again; the exception's text is not logged.
    """

    def __call__(self) -> tuple[str, str] | Awaitable[tuple[str, str]]:
        """The user, empty for the default one, and the password."""


class ChangingCredentials(RedisProvider):
    """Credentials that are fetched for each connection.

    Args:
        fetch: Fetches them. Raises ``OSError`` or ``RedisError``.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Credentials]]) -> None:
        self._fetch = fetch

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """The arguments of AUTH, for a connection that blocks its thread, as those of Celery."""
        return asyncio.run(self.get_credentials_async())

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The arguments of AUTH."""
        username, password = await self._fetch()
        return (username, password) if username else (password,)


def set_credential_provider(settings: dict[str, Any]) -> None:
    """Replace the options that name a source of credentials by a provider of redis-py, if there are any.

    Args:
        settings: Of a connection, with the options of a URL; changed in place.

    Raises:
        SettingsError: The provider cannot be imported.
    """
    provider = settings.pop("credential_provider", "")
    files = {
        name: Path(settings.pop(f"{name}_file"))
        for name in ("username", "password", "url")
        if f"{name}_file" in settings
    }
    if not provider and not files:
        return
    fixed = Credentials(settings.pop("username", ""), settings.pop("password", ""))
    fetch = _called(_imported(provider)) if provider else _read(files, fixed)
    settings["credential_provider"] = ChangingCredentials(fetch)


def _read(files: dict[str, Path], fixed: Credentials) -> Callable[[], Awaitable[Credentials]]:
    def read() -> Credentials:
        texts = {name: path.read_text("utf-8-sig", "replace").strip() for name, path in files.items()}
        try:
            found = credentials_of(texts.get("url", "")) or fixed
        except ValueError:
            found = fixed
        return Credentials(texts.get("username", found.username), texts.get("password", found.password))

    async def fetch() -> Credentials:
        return await asyncio.to_thread(read)

    return fetch


def _imported(name: str) -> CredentialProvider:
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"RELAY_REDIS_CREDENTIAL_PROVIDER cannot be imported: {error}") from None
    if not callable(found):
        raise SettingsError("RELAY_REDIS_CREDENTIAL_PROVIDER names something that cannot be called")
    return cast("CredentialProvider", found)


def _called(provider: CredentialProvider) -> Callable[[], Awaitable[Credentials]]:
    async def fetch() -> Credentials:
        try:
            if inspect.iscoroutinefunction(provider):
                answer = await provider()
            else:
                answer = await asyncio.to_thread(provider)
            username, password = answer
            return Credentials(str(username or ""), str(password))
        except Exception as error:  # noqa: BLE001  # foreign code; its text may have a secret
            raise exceptions.AuthenticationError(
                f"the credential provider failed with {type(error).__name__}"
            ) from None

    return fetch

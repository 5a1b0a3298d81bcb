"""What all services' settings share: how they are read, refused and shown."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

PREFIX = "RELAY_"


class SettingsError(Exception):
    """Raised when a setting is missing or wrong. The text names the variable and what it takes."""


class Settings(BaseSettings):
    """The base of all settings classes. Frozen; secrets are masked in every repr."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Read the environment; ``values``, by field or by variable, come before it.

        Raises:
            SettingsError: A value is missing or not allowed.
            TypeError: There is no such setting.
        """
        unknown = values.keys() - cls.model_fields.keys() - set(map(cls.variable, cls.model_fields))
        if unknown:
            raise TypeError(f"{cls.__name__} has no setting {', '.join(sorted(unknown))}")
        try:
            return cls(**values, _secrets_dir=_secrets_dir())  # type: ignore[call-arg]  # pydantic's own
        except (ValidationError, SourceError) as error:
            raise SettingsError(cls._explain(error)) from None

    @classmethod
    def from_command_line(cls, program: str, arguments: Sequence[str] | None = None) -> Self:
        """Read flags, then the environment. ``--help`` prints every setting and exits.

        Raises:
            SettingsError: As ``load``.
        """
        flags: CliSettingsSource[Self] = CliSettingsSource(
            cls,
            cli_prog_name=program,
            cli_parse_args=list(sys.argv[1:] if arguments is None else arguments),
        )
        try:
            return cls(_cli_settings_source=flags, _secrets_dir=_secrets_dir())  # type: ignore[call-arg]
        except (ValidationError, SourceError) as error:
            raise SettingsError(cls._explain(error)) from None

    @classmethod
    def variables(cls) -> list[tuple[str, str, str]]:
        """Every setting as (variable, default, meaning), in order."""
        rows = []
        for name, field in cls.model_fields.items():
            default = "" if field.is_required() or field.default is None else str(field.default)
            rows.append((cls.variable(name), default, field.description or ""))
        return rows

    @classmethod
    def variable(cls, name: str) -> str:
        """The environment variable of a field."""
        field = cls.model_fields.get(name)
        if field is not None and isinstance(field.validation_alias, AliasChoices):
            return str(field.validation_alias.choices[0])
        return PREFIX + name.upper()

    @classmethod
    def _explain(cls, error: Exception) -> str:
        if not isinstance(error, ValidationError):
            return str(error)
        lines = []
        for problem in error.errors(include_url=False, include_input=False):
            place = str(problem["loc"][0]) if problem["loc"] else ""
            name = cls.variable(place) if place in cls.model_fields else place or "settings"
            lines.append(f"{name}: {problem['msg']}")
        return "\n".join(lines)


def secret(variable: str, description: str, **options: Any) -> Any:
    """A secret field with a variable name of its own."""
    return Field(validation_alias=AliasChoices(variable), description=description, **options)


def child_environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process of the relay started by another: ours, with these changed."""
    return {**os.environ, **overrides}


def inherited(prefix: str) -> dict[str, str]:
    """The variables of our environment that begin with this prefix."""
    return {name: value for name, value in os.environ.items() if name.startswith(prefix)}


def variable(name: str) -> str | None:
    """One variable of our environment."""
    return os.environ.get(name)


def reveal(value: SecretStr | None) -> str:
    """The text of a secret, or the empty text."""
    return value.get_secret_value() if value is not None else ""


def _secrets_dir() -> str | None:
    directory = os.environ.get(PREFIX + "SECRETS_DIR")
    return directory if directory and Path(directory).is_dir() else None

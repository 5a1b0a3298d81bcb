"""The base of all settings: reads them from the environment, and explains what is refused."""

import sys
from collections.abc import Sequence
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from relay_settings import environment
from relay_settings.environment import PREFIX, SettingsError
from relay_settings.refusal import explain

_LARGEST = 2**53
"""Beyond it floats, which settings are compared and computed with, are no longer exact."""

__all__ = ["Settings", "SettingsError", "named", "reveal"]


class Settings(BaseModel):
    """The base of all settings classes. Frozen; secrets are masked in every repr."""

    model_config = ConfigDict(
        frozen=True, populate_by_name=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _is_within_floats(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise ValueError("it must be a smaller number")
        return value

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Read the environment; ``values``, by field or by variable, override it.

        Raises:
            SettingsError: A value is missing or not allowed.
            TypeError: There is no such setting.
        """
        variables = environment.values()
        fields = {cls.variable(name): name for name in cls.model_fields}
        given = {fields.get(name, name): value for name, value in values.items()}
        unknown = given.keys() - cls.model_fields.keys()
        if unknown:
            raise TypeError(f"{cls.__name__} has no setting {', '.join(sorted(unknown))}")
        read = {name: variables[variable] for variable, name in fields.items() if variable in variables}
        for name, text in read.items():
            if not _is_unicode(text):
                raise SettingsError(f"{cls.variable(name)} has text that is not UTF-8")
        try:
            return cls(**{**read, **given})
        except ValidationError as error:
            raise SettingsError("\n".join(explain(error, cls.variable))) from None

    @classmethod
    def from_command_line(cls, program: str, arguments: Sequence[str] | None = None) -> Self:
        """Read flags, then the environment. ``--help`` prints every setting and exits.

        Raises:
            SettingsError: As ``load``; or a flag is unknown, or is a secret's. The text has no value.
        """
        from relay_settings import flags  # noqa: PLC0415  # it imports the settings of every service

        return cls.load(**flags.read(cls, program, sys.argv[1:] if arguments is None else arguments))

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
        alias = cls.model_fields[name].validation_alias
        return alias if isinstance(alias, str) else PREFIX + name.upper()

    @classmethod
    def secrets(cls) -> list[str]:
        """The fields that are secrets."""
        return [name for name, field in cls.model_fields.items() if _mentions(field.annotation, SecretStr)]


def named(variable: str, description: str, **options: Any) -> Any:
    """A field with a variable name of its own, such as the vendor's."""
    return Field(validation_alias=variable, description=description, **options)


def listed(value: object) -> object:
    """The parts of a comma-separated text, without blanks; a value that is no text stays as it is."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def reveal(value: SecretStr | None) -> str:
    """The text of a secret, or the empty text."""
    return value.get_secret_value() if value is not None else ""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # the bytes of a variable that are not UTF-8 are read as halves of surrogates
        return False
    return True


def _mentions(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(part, wanted) for part in get_args(annotation))

"""Flags: settings on a service's command line. Secrets have none, since flags are in process lists."""

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from relay_settings.base import Settings, SettingsError
from relay_settings.catalogue import SERVICES
from relay_settings.environment import LIKENESS, PREFIX, SECRETS_DIR

_SHORTEST = 3
"""Least letters of a flag that is compared with the names of secrets."""


def read(kind: type[Settings], program: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The values that flags give, by field. ``--help`` prints every setting and exits.

    Args:
        kind: The settings.
        program: The program's name.
        arguments: The flags.

    Raises:
        SettingsError: A flag is unknown, or is a secret's. The text has no value.
    """
    given, others = _parser(kind, program).parse_known_args(arguments)
    if others:
        raise SettingsError(_refusal(others, kind, program))
    texts = {name: value.strip() if isinstance(value, str) else value for name, value in vars(given).items()}
    return {name: value for name, value in texts.items() if value not in (None, "")}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise ``SettingsError`` without the value, which argparse quotes after a colon."""
        place, _, why = message.partition(": ")
        flag = place.removeprefix("argument ") if place.startswith("argument --") else "a flag"
        needs_value = why.startswith("expected")
        raise SettingsError(f"{flag}: {'needs a value' if needs_value else 'takes no value'}")


def _parser(kind: type[Settings], program: str) -> _Parser:
    secrets = kind.secrets()
    parser = _Parser(
        prog=program,
        description=kind.__doc__,
        allow_abbrev=False,
        epilog=f"Secrets have no flag. They are variables, or files of that name in {SECRETS_DIR}: "
        + (", ".join(map(kind.variable, secrets)) or "there are none")
        + ".",
    )
    for name, field in kind.model_fields.items():
        if name in secrets:
            continue
        shown = "" if field.is_required() or field.default in (None, "") else f" (default: {field.default})"
        options: dict[str, Any] = {"metavar": kind.variable(name)}
        if field.annotation is bool:
            options = {"action": argparse.BooleanOptionalAction}
        parser.add_argument(
            _flag(name),
            dest=name,
            default=None,
            help=f"{field.description}{shown}".replace("%", "%%"),
            **options,
        )
    return parser


def _flag(name: str) -> str:
    return "--" + name.lower().replace("_", "-")


def _refusal(arguments: Sequence[str], kind: type[Settings], program: str) -> str:
    """Explain unknown arguments, without their text, which may be a secret."""
    named = next((argument for argument in arguments if argument.startswith("-")), "")
    flag = _flag(named.partition("=")[0].lstrip("-"))
    wanted = flag.removeprefix("--").removeprefix(_flag(PREFIX).strip("-") + "-")
    for service in (kind, *SERVICES.values()):
        for variable in map(service.variable, service.secrets()):
            if len(wanted) >= _SHORTEST and wanted in _flag(variable.removeprefix(PREFIX)):
                return (
                    f"secrets are never flags, which everybody on the machine can read: set {variable}, or"
                    f" put a file of that name into the folder {SECRETS_DIR}"
                )
    flags = [_flag(name) for name in kind.model_fields.keys() - kind.secrets()]
    near = get_close_matches(flag, flags, n=1, cutoff=LIKENESS)
    if named.startswith("--") and near:
        return f"{flag} is not a flag: did you mean {near[0]}?"
    return f"an argument is not a flag; {program} --help lists the flags"

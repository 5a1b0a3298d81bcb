"""An extra: the packages that one command or service needs beyond those of every process."""

import importlib
import sys
from typing import Any


def load(module: str, extra: str) -> Any:
    """Import a module whose packages an extra brings.

    Raises:
        SystemExit: The extra is not installed; its text, for standard error, is one line that names it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        sys.exit(missing(error, extra))


def missing(error: ModuleNotFoundError, extra: str) -> str:
    """One line for a user whose installation has no extra of this name.

    Raises:
        ModuleNotFoundError: A module of the relay itself is missing, which no extra brings.
    """
    name = (error.name or "").partition(".")[0]
    if name.startswith("relay_"):
        raise error
    return (
        f"{name} is not installed, a part of the extra {extra!r}: pip install 'avatar-relay[{extra}]', or"
        f" '.[{extra}]' in a checkout"
    )

"""The installed version, and whether its hot path is compiled."""

from functools import cache
from importlib import metadata

from relay_wire import frame


@cache
def version() -> str:
    """The version in the distribution's metadata; ``0+unknown`` when it is not installed."""
    try:
        return metadata.version("avatar-relay")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def hot_path() -> str:
    """``compiled`` from a wheel that was built with mypyc, else ``interpreted`` (ADR 9)."""
    return "interpreted" if frame.__file__.endswith(".py") else "compiled"

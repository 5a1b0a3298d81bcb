"""What is installed: the distribution's version, and how its hot path runs."""

from functools import cache
from importlib import metadata

from relay_wire import frame


@cache
def version() -> str:
    """As the distribution's metadata has it; ``0+unknown`` when run without being installed."""
    try:
        return metadata.version("avatar-relay")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def hot_path() -> str:
    """``compiled`` from a wheel that was built so, else ``interpreted`` (ADR 9)."""
    return "interpreted" if frame.__file__.endswith(".py") else "compiled"

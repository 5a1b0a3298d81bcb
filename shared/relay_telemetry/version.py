"""The version of the installed distribution."""

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """As the distribution's metadata has it; ``0+unknown`` when run without being installed."""
    try:
        return metadata.version("avatar-relay")
    except metadata.PackageNotFoundError:
        return "0+unknown"

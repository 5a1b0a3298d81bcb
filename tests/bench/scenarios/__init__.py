"""All scenarios; importing this fills the registry."""

from tests.bench.scenarios import delivery

__all__ = ["delivery"]

"""The security suite's gateways: those of the integration tests, attacked."""

from tests.integration.conftest import _guards, open_store
from tests.integration.gateway.conftest import bench

__all__ = ["_guards", "bench", "open_store"]

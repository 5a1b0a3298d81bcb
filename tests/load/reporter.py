"""The reporter: what a user saw, as requests of Locust."""

from typing import Any


class Failed(Exception):
    """The reason of a failed request, as Locust's tables show it: few different texts."""


class Reporter:
    """Reports to Locust under the request type of one kind of users.

    Args:
        environment: Locust's.
        kind: The request type.
    """

    def __init__(self, environment: Any, kind: str) -> None:
        self._request = environment.events.request
        self._kind = kind

    def succeeded(self, name: str, ms: float = 0.0, size_bytes: int = 0) -> None:
        """Report what went well, and how long it took."""
        self._fire(name, ms, size_bytes, None)

    def failed(self, name: str, reason: str, ms: float = 0.0) -> None:
        """Report what did not."""
        self._fire(name, ms, 0, Failed(reason))

    def _fire(self, name: str, ms: float, size_bytes: int, error: Exception | None) -> None:
        self._request.fire(
            request_type=self._kind, name=name, response_time=ms, response_length=size_bytes,
            exception=error, context={},
        )  # fmt: skip

"""The seam between the fan-out and a viewer's transport."""

from typing import Protocol

from relay_wire.close_codes import CloseCode


class Connection(Protocol):
    """The open transport to one viewer. Another transport, such as SSE, is another implementation of this."""

    @property
    def open(self) -> bool:
        """Whether a write can still reach the viewer."""

    @property
    def congested(self) -> bool:
        """Whether more is unsent than the viewer's buffer may hold."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes written that the kernel has not accepted yet."""

    def write(self, messages: bytes) -> None:
        """Queue whole messages; never blocks. After the end of the connection they are discarded."""

    def close(self, code: CloseCode) -> None:
        """Close after everything written before. Calls after the first have no effect."""

    async def drained(self, within_s: float) -> bool:
        """Wait until the connection is no longer congested. Safe to cancel.

        Returns:
            False when ``within_s`` seconds were not enough.

        Raises:
            ConnectionError: The viewer is gone.
        """

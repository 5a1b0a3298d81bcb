"""RESP transport: the bytes to and from one Redis server, once its connection is open.

redis-py opens connections: TLS, AUTH, client names. For commands it would cost more than Redis itself does,
with two coroutines and a task switch for every reply. So the socket's transport gets a protocol that feeds
what arrives to hiredis, and passes every reply to its receiver in the callback that brought it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from redis import exceptions
from redis.asyncio.connection import Connection

from relay_redis.errors import Unencodable
from relay_redis.refusals import Refusal
from relay_redis.replies import Command, Reply

__all__ = ["Command", "Reply", "RespTransport", "pack"]

_NOTHING = object()
_pack: Callable[[Any], bytes] = hiredis.pack_command


def pack(command: Command) -> bytes:
    """A command in RESP.

    Raises:
        Unencodable: An argument is text without a UTF-8 form, or neither text nor bytes nor a number.
    """
    try:
        return _pack(command)
    except Exception as error:  # noqa: BLE001  # whatever it is, it concerns this command alone
        raise Unencodable(f"{command[0]!r} cannot be sent: {error}") from None


class RespTransport(asyncio.Protocol):
    """Takes over an open connection on which no reply is due.

    Args:
        connection: The caller disconnects it, after ``wait_closed``.
        on_reply: Called with each reply, a ``Refusal`` too. An exception of it fails the transport.
        on_writable: Called when the socket's buffer has room again, after ``paused``.
    """

    def __init__(
        self, connection: Connection, on_reply: Callable[[Reply], None], on_writable: Callable[[], None]
    ) -> None:
        self._on_reply = on_reply
        self._on_writable = on_writable
        self._reader = hiredis.Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=Refusal,
            notEnoughData=_NOTHING,
        )
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.paused = False
        """Whether the socket's buffer is full."""
        self.closed = False
        """Whether a command that is written now would get no reply."""
        # redis-py has no public way to its open transport.
        self._transport: Any = connection._writer.transport  # type: ignore[union-attr]  # noqa: SLF001
        self._transport.set_protocol(self)

    def write(self, commands: Sequence[bytes]) -> None:
        """Send packed commands in one write; on a closing socket they are discarded."""
        if not self._transport.is_closing():  # uvloop raises where asyncio would only warn
            self._transport.writelines(commands)

    def fail(self, error: Exception) -> None:
        """Close with this error: further replies are ignored, and ``wait_closed`` raises it."""
        if not self.closed:
            self.closed = True
            self._end.set_exception(error)
            self._end.exception()  # marks it as retrieved, when `wait_closed` is not running any more

    async def wait_closed(self) -> None:
        """Wait for the end. Safe to cancel.

        Raises:
            ConnectionError: Redis closed the connection, or it broke.
            Exception: Raised by ``on_reply``, or given to ``fail``.
        """
        await asyncio.shield(self._end)

    # --- called by the socket's transport ------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Part of ``asyncio.Protocol``."""
        if self.closed:
            return
        reader = self._reader
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _NOTHING:
                self._on_reply(reply)
        except Exception as error:  # noqa: BLE001  # it closes the transport, and `wait_closed` raises it
            self.fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of ``asyncio.Protocol``."""
        self.fail(exceptions.ConnectionError(str(exc) if exc else "Redis closed the connection"))

    def pause_writing(self) -> None:
        """Part of ``asyncio.Protocol``."""
        self.paused = True

    def resume_writing(self) -> None:
        """Part of ``asyncio.Protocol``."""
        self.paused = False
        self._on_writable()

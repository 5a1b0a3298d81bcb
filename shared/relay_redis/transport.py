"""Channels: the bytes to and from one Redis server, once its connection stands.

redis-py opens connections, with all that needs: TLS, AUTH, names. From then on it would cost more than
Redis does: two coroutines and a task switch for every reply. So the socket's transport gets a protocol
that gives what arrives to hiredis, and every reply to its receiver, in the callback that brought it.
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
    """A command as Redis reads it.

    Raises:
        Unencodable: An argument is text that is no Unicode, or neither text nor bytes nor a number.
    """
    try:
        return _pack(command)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is this command's alone
        raise Unencodable(f"{command[0]!r} cannot be sent: {error}") from None


class RespTransport(asyncio.Protocol):
    """Takes over an open connection on which no reply is due.

    Args:
        connection: It stays the caller's to disconnect.
        receive: Called with each reply, a ``Refusal`` too. What it raises ends the channel.
        writable: Called when the socket takes more again, after ``full``.
    """

    def __init__(
        self, connection: Connection, receive: Callable[[Reply], None], writable: Callable[[], None]
    ) -> None:
        self._receive = receive
        self._writable = writable
        self._reader = hiredis.Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=Refusal,
            notEnoughData=_NOTHING,
        )
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.full = False
        """Whether the socket has enough to send for now."""
        self.ended = False
        """Whether nothing that is sent now would be answered."""
        # redis-py has no other way to its transport, which stands by now.
        self._transport: Any = connection._writer.transport  # type: ignore[union-attr]  # noqa: SLF001
        self._transport.set_protocol(self)

    def write(self, commands: Sequence[bytes]) -> None:
        """Send packed commands in one write; after the end nothing is sent, since ``lost`` says so."""
        if not self._transport.is_closing():  # uvloop raises where asyncio would only warn
            self._transport.writelines(commands)

    def end(self, error: Exception) -> None:
        """End with this error: nothing is received any more, and ``lost`` raises it."""
        if not self.ended:
            self.ended = True
            self._lost.set_exception(error)
            self._lost.exception()  # seen: nobody may be waiting any more

    async def lost(self) -> None:
        """Wait for the end. Safe to cancel.

        Raises:
            ConnectionError: Redis closed the connection, or it broke.
            Exception: What the receiver raised.
        """
        await asyncio.shield(self._lost)

    # --- what the transport calls --------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Part of ``asyncio.Protocol``."""
        if self.ended:
            return
        reader = self._reader
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _NOTHING:
                self._receive(reply)
        except Exception as error:  # noqa: BLE001  # it ends the channel, and leaves by `lost`
            self.end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of ``asyncio.Protocol``."""
        self.end(exceptions.ConnectionError(str(exc) if exc else "Redis closed the connection"))

    def pause_writing(self) -> None:
        """Part of ``asyncio.Protocol``."""
        self.full = True

    def resume_writing(self) -> None:
        """Part of ``asyncio.Protocol``."""
        self.full = False
        self._writable()

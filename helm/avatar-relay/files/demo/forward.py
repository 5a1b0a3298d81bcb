# ruff: noqa: INP001  # one file, which the chart mounts
"""Forwards TCP ports to Services, PORT=HOST:PORT..., so that one port-forward reaches two of them."""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter

_CHUNK = 64 * 1024


async def _copy(source: StreamReader, sink: StreamWriter) -> None:
    try:
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
        sink.write_eof()
    except OSError:
        sink.close()


async def _serve(port: int, host: str, target: int) -> None:
    async def forward(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(host, target)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            back.close()
            writer.close()

    async with await asyncio.start_server(forward, None, port) as server:
        await server.serve_forever()


async def _main() -> None:
    async with asyncio.TaskGroup() as group:
        for pair in sys.argv[1:]:
            port, _, target = pair.partition("=")
            host, _, number = target.rpartition(":")
            group.create_task(_serve(int(port), host, int(number)))


asyncio.run(_main())

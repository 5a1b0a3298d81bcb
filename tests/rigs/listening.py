"""Whether a process listens, before it can be asked anything."""

import asyncio


async def accepts(port: int) -> bool:
    """Whether a port of loopback accepts connections."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True

"""Parts of peers: foreign packages, fetched and built by their own tools at the first run, then kept."""

import asyncio
import os
import shutil
from collections.abc import Iterable
from pathlib import Path


class Missing(Exception):
    """Raised when a part of a peer is not installed; the text names the package."""


def home_of(peer: str, sources: Iterable[Path] = ()) -> Path:
    """The folder where a peer's parts are kept, with these files copied into it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    home = cache / "avatar-relay" / "bench" / peer
    home.mkdir(parents=True, exist_ok=True)
    for source in sources:
        shutil.copy(source, home)
    return home


async def fetch(*command: str, home: Path, timeout_s: float) -> None:
    """Run a tool that installs or builds in ``home``. A cancellation ends it.

    Raises:
        Missing: It failed, or took too long.
    """
    shown = " ".join(command)
    tool = await asyncio.create_subprocess_exec(
        *command, cwd=home, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await tool.communicate()
    except TimeoutError:
        raise Missing(f"{shown} in {home} took longer than {timeout_s:.0f} s") from None
    finally:
        if tool.returncode is None:
            tool.kill()
            await tool.wait()
    if tool.returncode:
        raise Missing(f"{shown} in {home} failed:\n{output.decode()[-500:]}")

"""Flame graphs: where a server's CPU goes while traffic flows."""

import asyncio
import re
import shutil
from pathlib import Path

from tests.benchmarks.peers.parts import Missing
from tests.benchmarks.target import WARM_UP_S, Target
from tests.benchmarks.traffic import Traffic

RECORD_S = 10
_RATE_HZ = 200
_TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*')


async def record(target: Target, traffic: Traffic, path: Path) -> None:
    """Write an SVG of the server's first process at this traffic.

    Raises:
        Missing: py-spy is not installed, or may not look.
    """
    spy = shutil.which("py-spy")
    if spy is None:
        raise Missing("flame graphs need py-spy: pip install py-spy")
    path.parent.mkdir(parents=True, exist_ok=True)
    await target.begin(traffic)
    await asyncio.sleep(WARM_UP_S)
    process = await asyncio.create_subprocess_exec(
        *(spy, "record", "--native", "--output", str(path)),
        *("--duration", str(RECORD_S), "--rate", str(_RATE_HZ), "--pid", str(target.pids["server"][0])),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    await target.end()
    if process.returncode:
        raise Missing(f"py-spy failed: {output.decode()[-500:]}")
    _entitle(path, f"{target.name}: {traffic.rate:.0f} frames/s, {traffic.conversations} conversations")


def _entitle(path: Path, title: str) -> None:
    """Put a title in the place of py-spy's command line, which names folders of this machine."""
    path.write_text(_TITLE.sub(rf"\g<1>{title}", path.read_text(), count=1))

"""The first steps of the documentation, as they are written: from a checkout to a turn that a viewer sees."""

import asyncio
import os
import re
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest
from tests.rigs.documented import blocks
from tests.rigs.eventually import eventually
from tests.rigs.imports import ROOT
from tests.rigs.need import need

from relay_redis.local_server import distribution_binary

ALONE = ("unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child")
"""In a network of its own, where no port is taken; no process outlives the shell."""
LAST = "kill $(jobs -p)"
"""The line with which the steps end; what comes after it in a page is for production."""
DONE = "every step"
WANTED = {f"{viewer} {kind}" for viewer in ("watch", "tail") for kind in ("event", "audio", "motion")}

pytestmark = pytest.mark.timeout(180)


def steps(page: str, section: str) -> str:
    """The blocks of a section to the last step; those of Python are files, named in them."""
    script = ["ip link set lo up", "set -eu"]
    for block in blocks(page, section):
        if block.language == "sh":
            script.append(block.text)
        elif name := re.match(r"# (\w+\.py)\n", block.text):
            script.append(f"cat > {name[1]} <<'END'\n{block.text}END")
    commands, end, _ = "\n".join(script).partition(LAST)
    assert end, f"nothing ends the steps below {section}"
    return f"{commands}\nprintf '\\n{DONE}\\n'\n"


def seen(output: str) -> set[str]:
    """What ``watch.py`` and ``tail`` have printed of the turn, and whether the shell is through."""
    watched = {f"watch {kind.lower()}" for kind in re.findall(r"^1 ([A-Z]+) \d+$", output, re.MULTILINE)}
    tailed = {f"tail {kind}" for kind in re.findall(r"\t1\t(audio|motion|event)\t", output)}
    ends = {name for name, text in ((DONE, f"\n{DONE}\n"), ("tail end", "\tTurnEnded")) if text in output}
    return watched | tailed | ends


@pytest.mark.parametrize(
    ("page", "section"), [("README.md", "## Use it"), ("docs/guide/quick-start.md", "# Quick start")]
)
async def test_the_steps_of(tmp_path: Path, page: str, section: str) -> None:
    """Copied into a shell in a checkout: every line succeeds, both viewers show audio and motion."""
    need(distribution_binary(), "redis-server")
    alone = await asyncio.create_subprocess_exec(*ALONE, "true")
    need("unshare" if await alone.wait() == 0 else None, "a network namespace")
    for entry in ROOT.iterdir():  # a checkout in which the steps may write
        if entry.name != "build":
            (tmp_path / entry.name).symlink_to(entry)
    environment = {
        name: text for name, text in os.environ.items()
        if not name.startswith(("RELAY_", "SPATIUS_", "MAKE")) and name not in ("VIRTUAL_ENV", "MFLAGS")
    }  # fmt: skip
    output = tmp_path / "output.txt"
    with output.open("w") as shown:
        shell = await asyncio.create_subprocess_exec(
            *ALONE, "bash", cwd=tmp_path, env=environment, stdin=PIPE, stdout=shown, stderr=STDOUT
        )
    try:
        shell.stdin.write(steps(page, section).encode())
        await eventually(
            lambda: shell.returncode is not None or {*WANTED, DONE, "tail end"} <= seen(output.read_text()),
            150,
        )
        assert shell.returncode is None, output.read_text()
        shell.stdin.write(f"{LAST}\n".encode())
        shell.stdin.close()
        assert await shell.wait() == 0, output.read_text()
    finally:
        if shell.returncode is None:
            shell.kill()
            await shell.wait()

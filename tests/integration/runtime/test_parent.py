"""Children of a process end with it, and live as long as it does."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest
from tests.rigs.need import need

CHILD = "import time; print('lives', flush=True); time.sleep(60)"
PARENT = f"""
import subprocess, sys
from relay_runtime.parent import end_with_parent
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], preexec_fn=end_with_parent)
sys.exit(child.wait())
"""


def _started(prefix: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen([*prefix, sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("first", [False, True], ids=["process", "first process"])
def test_a_child_lives_while_its_parent_does(first: bool) -> None:  # noqa: FBT001
    """The first process of a container is a parent like any other, although its number is that of init."""
    prefix = [need(shutil.which("unshare"), "unshare"), "--pid", "--fork", "--kill-child"] if first else []
    if first and os.getuid():
        prefix += ["--map-root-user"]
    parent = _started(prefix)
    try:
        assert parent.stdout.readline() == "lives\n"
    finally:
        parent.kill()
        parent.communicate()


def test_a_child_ends_with_a_parent_that_is_killed() -> None:
    """A parent that is killed can end nothing itself."""
    parent = _started([])
    assert parent.stdout.readline() == "lives\n"
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=30)  # to the end of the pipe, which the child has, too

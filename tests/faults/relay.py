"""The relay of a lab: its processes may have few descriptors, and standard error without a reader."""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay_cli.stack import Child, Stack

_PIPE_BYTES = 4096
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_WITH_FEW_FILES = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))
runpy.run_module("relay_{service}", run_name="__main__", alter_sys=True)
"""


class LabChild(Child):
    """One process of it.

    Attributes:
        files: How many descriptors it may have; 0 leaves that to the system.
        unread: Whether its standard error is a pipe without a reader until it is stopped.
    """

    files = 0
    unread = False
    _pipe: int | None = None

    @property
    def _command(self) -> list[str]:
        command = super()._command
        if not self.files:
            return command
        return [command[0], "-c", _WITH_FEW_FILES.format(files=self.files, service=self._service)]

    async def start(self) -> None:
        """As any process is started."""
        if self.unread:
            os.mkfifo(self.log_path)
            self._pipe = os.open(self.log_path, os.O_RDWR | os.O_NONBLOCK)
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        await super().start()

    async def stop(self) -> int | None:
        """As any process is stopped; what the pipe has by then is its log."""
        self.read_log()
        return await super().stop()

    def log_tail(self, size_bytes: int = 2000) -> str:
        """The end of its log; a pipe has to be read for it."""
        self.read_log()
        return super().log_tail(size_bytes)

    def read_log(self) -> None:
        """Take what is in the pipe and close it, once; from then on the log is a file."""
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            return
        try:
            log = os.read(pipe, _PIPE_BYTES)
        except BlockingIOError:
            log = b""
        os.close(pipe)
        self.log_path.unlink()
        self.log_path.write_bytes(log)


class LabStack(Stack):
    """A whole relay.

    Args:
        files: By service, how many descriptors each of its processes may have.
        unread_logs: Whether their standard error has no reader.
        options: Of the stack.
    """

    def __init__(self, *, files: Mapping[str, int], unread_logs: bool, **options: Any) -> None:
        super().__init__(**options)
        self._files = files
        self._unread_logs = unread_logs

    def _new_child(self, name: str, service: str, environment: Mapping[str, str]) -> Child:
        child = LabChild(name, service, environment, self._directory)
        child.files = self._files.get(service, 0)
        child.unread = self._unread_logs
        return child


def rss_bytes(child: Child) -> int:
    """The resident memory of a process."""
    return int(Path(f"/proc/{child.pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def cpu_s(child: Child) -> float:
    """What CPU time a process has used."""
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

"""CPU and memory of processes, as the operating system counts them."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from relay_telemetry.version import hot_path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used, all its threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_bytes(pid: int) -> int:
    """What a process adds to the memory in use (PSS): its own pages, and its share of those it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Pss of process {pid}")


def idle_s() -> float:
    """Seconds all cores together have idled since boot."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / _TICKS


def machine() -> str:
    """The machine in one line."""
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ")[1] for line in facts if line.startswith("model name")), platform.machine())
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return (
        f"{os.cpu_count()} x {model}, {memory_kb / 2**20:.0f} GiB, Linux {platform.release()}, "
        f"CPython {platform.python_version()}, hot path {hot_path()}"
    )


@dataclass(frozen=True)
class Usage:
    """CPU seconds by role over a while, and how much of the machine was left."""

    cpu_s: Mapping[str, float]
    idle: float
    """0 to 1: below ``SATURATED`` latencies are of the machine and not of the server."""


SATURATED = 0.05


class Meter:
    """Counts from its making on.

    Args:
        pids: Processes by role.
    """

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        self._pids = pids
        self._before = self._now()
        self._idle = idle_s()

    def read(self, seconds: float) -> Usage:
        """What was used in these seconds, since the meter was made."""
        used = {role: now - self._before[role] for role, now in self._now().items()}
        return Usage(used, (idle_s() - self._idle) / seconds / (os.cpu_count() or 1))

    def _now(self) -> dict[str, float]:
        return {role: sum(map(cpu_s, pids)) for role, pids in self._pids.items()}

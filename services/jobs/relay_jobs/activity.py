"""Activity: what the processes of a worker do, and their log level, as files of a folder shared with their
supervisor.

Files and no connection: the supervisor must see it while the broker and Redis are away.
"""

import os
from pathlib import Path
from typing import get_args

from relay_telemetry.logs import Level


class Activity:
    """The activity of one worker's processes.

    Args:
        folder: Exists; nothing else is in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pulse = folder / "pulse"
        self._level = folder / "level"

    # --- in a process that runs tasks --------------------------------------------------------------

    def answer(self, pulse: int) -> None:
        """Note that a pulse has arrived."""
        written = self._folder / f"pulse.{os.getpid()}"
        written.write_text(str(pulse), "ascii")
        written.replace(self._pulse)

    def begin(self) -> None:
        """Note that this process runs a task."""
        self._busy(os.getpid()).touch()

    def end(self) -> None:
        """Note that it runs none."""
        self._busy(os.getpid()).unlink(missing_ok=True)

    @property
    def level(self) -> Level | None:
        """The level that the supervisor has set; None: it has set none."""
        try:
            text = self._level.read_text("ascii")
        except (OSError, ValueError):
            return None
        return next((known for known in get_args(Level) if known == text), None)

    # --- in the supervisor -------------------------------------------------------------------------

    @property
    def answered(self) -> int:
        """The last pulse that has arrived; 0: none."""
        try:
            return int(self._pulse.read_text("ascii"))
        except (OSError, ValueError):
            return 0

    def busy(self) -> int:
        """How many living processes run a task."""
        return sum(_lives(path) for path in self._folder.glob("busy.*"))

    def set_level(self, level: Level) -> None:
        """Have the processes log from this level on, each with its next task.

        Raises:
            OSError: It cannot be written.
        """
        written = self._folder / f"level.{os.getpid()}"
        written.write_text(level, "ascii")
        written.replace(self._level)

    def clear(self) -> None:
        """Remove every note: its processes have ended."""
        for path in self._folder.iterdir():
            path.unlink(missing_ok=True)

    def _busy(self, pid: int) -> Path:
        return self._folder / f"busy.{pid}"


def _lives(path: Path) -> bool:
    try:
        os.kill(int(path.suffix[1:]), 0)
    except (ProcessLookupError, ValueError):
        path.unlink(missing_ok=True)
        return False
    except PermissionError:
        return True
    return True

"""Parents: child processes end with the process that started them, however it ends."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_IMPORTED_BY = os.getpid()
"""The process that starts the children; in a container it is often process 1."""


def end_with_parent() -> None:
    """For ``preexec_fn``: receive SIGTERM when the parent ends, also when it is killed. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1 != _IMPORTED_BY:  # the parent ended before the call
            os.kill(os.getpid(), signal.SIGTERM)

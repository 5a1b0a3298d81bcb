"""The heap: tuning of the garbage collector and of malloc for a loaded process."""

import ctypes
import gc

COLLECTIONS = (10_000, 20, 10)
"""The garbage collector's thresholds: a full collection at the earliest after 2 million new objects."""
KEPT_BYTES = 64 * 2**20
"""The most freed heap that the process keeps."""
_LARGEST_BYTES = 32 * 2**20
"""The most that glibc allows."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's ``malloc.h``."""


def tune() -> None:
    """Freeze the garbage collector's objects, and keep freed heap. Call it once, after start-up."""
    _freeze_objects()
    _keep_freed()


def _freeze_objects() -> None:
    """Exclude the loaded objects from collections, and make full collections rare.

    With the defaults collections took 4 % of a gateway's time, and a full one among 5,000 viewers stops the
    process for 0.3 s. The objects of a frame have no cycles, and need no collector.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


def _keep_freed() -> None:
    """Keep the heap that a burst has freed: by default it returns to the system, and is mapped page by page.

    That took an eighth of publishing in bursts (ADR 9). With another C library than glibc nothing changes.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BYTES)

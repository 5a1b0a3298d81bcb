"""The error boundary: an exception is counted and ends what raised it, and nothing else."""

from functools import partial

import pytest

from relay_ingest.error_boundary import DEFECTS, ErrorBoundary
from relay_runtime.tasks import TaskScope


async def test_a_callback() -> None:
    """Its exception does not leave the block; the conversation's owner is called once."""
    calls: list[str] = []
    defects = DEFECTS.labels("motion")._value
    before = defects.get()
    async with TaskScope() as tasks:
        boundary = ErrorBoundary(partial(tasks.spawn, name="t"), lambda: calls.append("failed"))
        with boundary("motion"):
            raise ZeroDivisionError
        with boundary("motion"):
            calls.append("fine")
    assert defects.get() == before + 1
    assert calls == ["failed", "fine"]


async def test_a_task() -> None:
    """Its exception ends neither the scope nor another task."""
    calls: list[str] = []

    async def fails() -> None:
        raise ZeroDivisionError

    async with TaskScope() as tasks:
        boundary = ErrorBoundary(partial(tasks.spawn, name="t"), lambda: calls.append("failed"))
        await boundary.spawn(fails())
    assert calls == ["failed"]


async def test_the_end_of_a_process_is_no_defect() -> None:
    """Cancellations and the like leave the block."""
    async with TaskScope() as tasks:
        boundary = ErrorBoundary(partial(tasks.spawn, name="t"), lambda: None)
        with pytest.raises(KeyboardInterrupt), boundary("worker"):
            raise KeyboardInterrupt

"""Task scopes: every background task has an owner, a name and an end."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

_CANCEL_AGAIN_S = 1.0
"""Cancellations get lost: by ``asyncio.wait_for`` before Python 3.12, by the SDK's ``close`` (facts 1.7)."""


class TaskScope:
    """Background tasks that live at most as long as a ``with`` block.

    The end of the block cancels and awaits them. A task that fails cancels the block and its siblings, and
    its error is raised from the block in an ``ExceptionGroup``: no error is silent. An error of the block
    itself is raised unwrapped.
    """

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Start a task in this scope."""
        task = self._group.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=_CANCEL_AGAIN_S)
        if error is None or isinstance(error, asyncio.CancelledError):
            await self._group.__aexit__(kind, error, traceback)
        else:
            # The group would wrap the block's own error.
            await self._group.__aexit__(None, None, None)


async def first_of(**coroutines: Coroutine[Any, Any, None]) -> None:
    """Run coroutines side by side until the first of them ends; the others are cancelled and awaited.

    Unlike a task group it raises the first one's error as it is, and a cancellation that coincides
    with an error stays a cancellation.

    Args:
        coroutines: By the name their task gets.
    """
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in coroutines.items()]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()

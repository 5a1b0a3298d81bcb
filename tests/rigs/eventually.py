"""Waiting for a condition instead of sleeping."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

_INTERVAL_S = 0.005
_MOST_CHARACTERS = 2000


async def eventually(
    condition: Callable[[], Any],
    within_s: float = 10.0,
    *,
    until: Callable[[Any], object] = bool,
    what: str = "",
) -> Any:
    """Call ``condition``, which may be a coroutine function, until it returns what ``until`` accepts.

    Raises:
        TimeoutError: It did not; the text has ``what`` or the condition's place, and what it returned last.
    """
    last: object = "nothing yet"
    try:
        async with asyncio.timeout(within_s):
            while True:
                result = condition()
                last = result = await result if inspect.isawaitable(result) else result
                if until(result):
                    return result
                await asyncio.sleep(_INTERVAL_S)
    except TimeoutError:
        text = f"waited {within_s:g} s for {what or _place(condition)}: it is {last!r}"
        raise TimeoutError(text[:_MOST_CHARACTERS]) from None


def _place(condition: Callable[[], object]) -> str:
    code = getattr(condition, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(condition)

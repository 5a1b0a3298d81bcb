"""Permissions: the commands that a process's Redis user needs, without jobs and with them.

A relay without jobs must not need a permission for them: an operator would have to grant it before an upgrade
that changes nothing else.
"""

from importlib.resources import files
from typing import Final

from relay_streams.scripts import ALL, COMMANDS, called

_WITHOUT_JOBS: Final = frozenset(
    {
        "append_speech", "append_uplink", "attend", "claim", "create", "defer", "dequeue", "expire",
        "find_turn", "finish", "heartbeat", "hold_turn", "publish", "purge", "reap", "release", "renew",
        "repair", "report_load", "restore", "stop_agent",
    }
)  # fmt: skip
"""The scripts that run without jobs, by name."""
_SENT_WITHOUT_JOBS: Final = (
    "DEL", "HGET", "HGETALL", "HMGET", "PTTL", "SCAN", "SCARD", "SET", "XACK", "XRANGE", "XREAD"
)  # fmt: skip


def needed(*, jobs: bool) -> tuple[str, ...]:
    """The commands that a client needs a permission for, besides those that run scripts.

    Args:
        jobs: Whether ``RELAY_JOBS`` is on.
    """
    return COMMANDS if jobs else _COMMANDS_WITHOUT_JOBS


def _without_jobs() -> tuple[str, ...]:
    # Scripts that append events begin with this text, and reach it with jobs only.
    outbox = files("relay_streams").joinpath("scripts").joinpath("outbox.lua").read_text("utf-8")
    texts = [script.text.replace(outbox, "") for script in ALL if script.name in _WITHOUT_JOBS]
    return tuple(sorted({*_SENT_WITHOUT_JOBS, *called(texts)}))


_COMMANDS_WITHOUT_JOBS: Final = _without_jobs()

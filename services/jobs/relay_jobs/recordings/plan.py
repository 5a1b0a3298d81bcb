"""The consequence of events for recordings. Pure."""

from typing import Final

import msgspec

from relay_jobs.consequences import NOTHING, Plan, TaskCall
from relay_streams.outbox import OutboxEvent

COPY: Final = "recordings.copy"
FINISH: Final = "recordings.finish"
_JOBS: Final = {"turn.ended": COPY, "conversation.ended": FINISH}


class _Data(msgspec.Struct):
    recorded: bool = False


_DECODER = msgspec.json.Decoder(_Data)


def plan(event: OutboxEvent) -> Plan:
    """What follows from an event: a turn that ended is copied, a conversation that ended is finished.

    The tasks are hints only: the store lists the recordings that are due.
    """
    name = _JOBS.get(event.type)
    if name is None or not _is_recorded(event.data):
        return NOTHING
    return Plan(tasks=(TaskCall(name, (event.partition, event.conversation)),))


def _is_recorded(data: bytes) -> bool:
    try:
        return _DECODER.decode(data).recorded
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False

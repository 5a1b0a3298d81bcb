"""Readers of what versions store in Redis and later versions read, for its vectors.

Text in a vector is Latin-1: each character is one byte.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from relay_streams.conversations import Conversation
from relay_streams.notification import inline_entries
from relay_streams.outbox import OutboxEvent
from relay_turns.state import TurnState
from relay_wire import uplink

Vector = Mapping[str, Any]


def _record(vector: Vector) -> Any:
    return _plain(Conversation.from_fields("01JDTEST", _fields(vector))._asdict())


def _checkpoint(vector: Vector) -> Any:
    state = TurnState.decode(vector["text"].encode("latin-1"))
    return {name: getattr(state, name) for name in state.__struct_fields__}


def _uplink(vector: Vector) -> Any:
    entry = uplink.decode(_fields(vector))
    return {"kind": entry.kind, **_plain({name: getattr(entry, name) for name in entry.__struct_fields__})}


def _notification(vector: Vector) -> Any:
    entries = inline_entries(bytes.fromhex(vector["hex"]), vector["cursor"].encode())
    return [[entry.decode(), [field.hex() for field in fields]] for entry, fields in entries]


def _outbox(vector: Vector) -> Any:
    return _plain(OutboxEvent.from_fields(vector["partition"], vector["id"], _fields(vector))._asdict())


READERS: dict[str, Callable[[Vector], Any]] = {
    "records": _record,
    "checkpoints": _checkpoint,
    "uplink": _uplink,
    "notifications": _notification,
    "outbox": _outbox,
}
"""By the list that has the vectors."""


def _fields(vector: Vector) -> dict[bytes, bytes]:
    return {name.encode(): value.encode("latin-1") for name, value in vector["fields"].items()}


def _plain(values: Mapping[str, Any]) -> Any:
    """Values as JSON has them."""
    return json.loads(msgspec.json.encode(values, enc_hook=str))

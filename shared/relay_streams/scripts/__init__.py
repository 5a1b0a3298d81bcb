"""Scripts: the Lua files of this folder, one verb each, known to Redis by their SHA-1."""

import re
from importlib.resources import files
from typing import Final

from relay_redis.replies import Check, number, pairs, three_numbers, two_lists, word
from relay_redis.schema import Schema
from relay_redis.script import Script
from relay_streams.key_types import type_of


def _load(name: str, reply: Check, *, after: str = "") -> Script:
    folder = files("relay_streams").joinpath("scripts")
    text = "".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in (after, name) if part)
    return Script.of(name, text, reply)


ATTEND: Final = _load("attend", word("missing", ok=(int, int)))
CLAIM: Final = _load("claim", word("held", "ended", "missing", "later", ok=(bytes, bytes, bytes)))
CREATE: Final = _load("create", number)
DEFER: Final = _load("defer", number)
EXPIRE: Final = _load("expire", three_numbers)
FINISH: Final = _load("finish", number)
HEARTBEAT: Final = _load("heartbeat", word(ok=(bytes, int), denied=(bytes,)))
PUBLISH: Final = _load("publish", word("missing", ok=(int,), fenced=(bytes,), behind=(int,)))
PURGE: Final = _load("purge", number)
REAP: Final = _load("reap", number)
RELEASE: Final = _load("release", number)
RENEW: Final = _load("renew", two_lists)
REPAIR: Final = _load("repair", number)
RESTORE: Final = _load("restore", word(ok=(int,), fenced=(bytes,)))
SPEAK: Final = _load(
    "speak",
    word(
        "unknown", "full", "ended", "missing",
        **{"in": (int, int, bytes, bytes)},
        behind=(int, int), over=(int, int, bytes), busy=(int,), fenced=(bytes,),
    ),
    after="room",
)  # fmt: skip
TAKE: Final = _load("take", pairs)
TELL: Final = _load("tell", word("full", "ended", "missing", ok=(int,), fenced=(bytes,)), after="room")

ALL: Final = (
    ATTEND, CLAIM, CREATE, DEFER, EXPIRE, FINISH, HEARTBEAT, PUBLISH, PURGE, REAP, RELEASE, RENEW, REPAIR,
    RESTORE, SPEAK, TAKE, TELL,
)  # fmt: skip

SCHEMA: Final = Schema(ALL, purge=PURGE, type_of=type_of)
"""What every client of the relay's Redis is constructed with."""

_CALLED = re.compile(r"(?:call\(|\{)'(?:(XINFO|XGROUP)', ')?([A-Z]+)'")
_SENT = ("DEL", "HGET", "HGETALL", "HMGET", "PTTL", "SCAN", "SCARD", "SET", "XACK", "XRANGE", "XREAD")

COMMANDS: Final = tuple(
    sorted(
        {" ".join(filter(None, words)) for script in ALL for words in _CALLED.findall(script.text)} | {*_SENT}
    )
)
"""What a link needs a permission for, besides scripts: what these call, and what is sent as it is."""

SUBSCRIBING: Final = ("SSUBSCRIBE", "SUNSUBSCRIBE")
"""What a subscription needs one for."""

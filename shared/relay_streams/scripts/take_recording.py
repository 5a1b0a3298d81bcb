"""Take: a recording, claimed by one worker."""

from collections.abc import Mapping
from typing import Final

from relay_redis.replies import Reply, word
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

TAKE_RECORDING: Final = load("take_recording", word("held", "none", "ok"))

Fields = Mapping[bytes, bytes]


def take_recording(keys: ConversationKeys, *, token: str, claim_ms: int) -> Call[Fields | None]:
    """Claim a recording.

    The result has the record's fields; None when another claim holds, or when there is nothing to record.
    """
    return Call(TAKE_RECORDING, (keys.meta, keys.recordings), (keys.id, token, claim_ms), _read)


def _read(reply: Reply) -> Fields | None:
    match reply[0]:
        case b"ok":
            return dict(zip(reply[1::2], reply[2::2], strict=True))
        case _:
            return None

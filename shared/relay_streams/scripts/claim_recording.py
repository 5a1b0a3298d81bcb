"""Take: a recording, claimed by one worker."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from relay_redis.replies import Reply, word
from relay_streams.errors import Missing
from relay_streams.keys import ConversationKeys
from relay_streams.scripts.call import Call
from relay_streams.scripts.lua import load

CLAIM_RECORDING: Final = load("claim_recording", word("gone", "held", "none", "ok"))

Fields = Mapping[bytes, bytes]


def claim_recording(keys: ConversationKeys, *, token: str, claim_ms: int) -> Call[Fields | None]:
    """Claim a recording.

    The result has the record's fields; None when another claim holds, or when there is nothing to record. The
    call raises ``Missing``, once, when the recording was listed and its conversation is gone.
    """
    return Call(
        CLAIM_RECORDING, (keys.meta, keys.recordings), (keys.id, token, claim_ms), partial(_read, keys.id)
    )


def _read(conversation: str, reply: Reply) -> Fields | None:
    match reply[0]:
        case b"ok":
            return dict(zip(reply[1::2], reply[2::2], strict=True))
        case b"gone":
            raise Missing(f"no record of conversation {conversation}")
        case _:
            return None

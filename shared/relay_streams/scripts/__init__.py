"""Scripts: the Lua files of this folder, one verb each, and beside each the function that builds its call."""

import re
from collections.abc import Iterable
from typing import Final

from relay_redis.schema import Schema
from relay_streams.key_kinds import type_of
from relay_streams.scripts.advance_recording import ADVANCE_RECORDING
from relay_streams.scripts.append_replay import APPEND_REPLAY
from relay_streams.scripts.append_speech import APPEND_SPEECH
from relay_streams.scripts.append_uplink import APPEND_UPLINK
from relay_streams.scripts.attend import ATTEND
from relay_streams.scripts.begin_delivery import BEGIN_DELIVERY
from relay_streams.scripts.begin_reaping import BEGIN_REAPING
from relay_streams.scripts.begin_replay import BEGIN_REPLAY
from relay_streams.scripts.claim import CLAIM
from relay_streams.scripts.claim_clip import CLAIM_CLIP
from relay_streams.scripts.claim_recording import CLAIM_RECORDING
from relay_streams.scripts.close_idle import CLOSE_IDLE
from relay_streams.scripts.consume_outbox import CONSUME_OUTBOX
from relay_streams.scripts.create import CREATE
from relay_streams.scripts.create_clip import CREATE_CLIP
from relay_streams.scripts.defer import DEFER
from relay_streams.scripts.delete_clip import DELETE_CLIP
from relay_streams.scripts.dequeue import DEQUEUE
from relay_streams.scripts.due_deliveries import DUE_DELIVERIES
from relay_streams.scripts.enter_endpoint import ENTER_ENDPOINT
from relay_streams.scripts.erase_clip import ERASE_CLIP
from relay_streams.scripts.examine import EXAMINE
from relay_streams.scripts.expire import EXPIRE
from relay_streams.scripts.find_turn import FIND_TURN
from relay_streams.scripts.finish import FINISH
from relay_streams.scripts.finish_clip import FINISH_CLIP
from relay_streams.scripts.finish_delivery import FINISH_DELIVERY
from relay_streams.scripts.heartbeat import HEARTBEAT
from relay_streams.scripts.hold_turn import HOLD_TURN
from relay_streams.scripts.leave_endpoint import LEAVE_ENDPOINT
from relay_streams.scripts.postpone_delivery import POSTPONE_DELIVERY
from relay_streams.scripts.prune_made import PRUNE_MADE
from relay_streams.scripts.publish import PUBLISH
from relay_streams.scripts.purge import PURGE
from relay_streams.scripts.read_outbox import READ_OUTBOX
from relay_streams.scripts.read_recording import READ_RECORDING
from relay_streams.scripts.reap import REAP
from relay_streams.scripts.record_motion import RECORD_MOTION
from relay_streams.scripts.release import RELEASE
from relay_streams.scripts.release_recording import RELEASE_RECORDING
from relay_streams.scripts.remove_orphan import REMOVE_ORPHAN
from relay_streams.scripts.renew import RENEW
from relay_streams.scripts.renew_clip import RENEW_CLIP
from relay_streams.scripts.repair import REPAIR
from relay_streams.scripts.report_load import REPORT_LOAD
from relay_streams.scripts.restore import RESTORE
from relay_streams.scripts.restore_deliveries import RESTORE_DELIVERIES
from relay_streams.scripts.retry_delivery import RETRY_DELIVERY
from relay_streams.scripts.settle_account import SETTLE_ACCOUNT
from relay_streams.scripts.stop_agent import STOP_AGENT
from relay_streams.scripts.store_clip import STORE_CLIP

ALL: Final = (
    ADVANCE_RECORDING, APPEND_REPLAY, APPEND_SPEECH, APPEND_UPLINK, ATTEND, BEGIN_DELIVERY, BEGIN_REAPING,
    BEGIN_REPLAY, CLAIM, CLAIM_CLIP, CLOSE_IDLE, CONSUME_OUTBOX, CREATE, CREATE_CLIP, DEFER, DELETE_CLIP,
    DEQUEUE, DUE_DELIVERIES, ENTER_ENDPOINT, EXAMINE, EXPIRE, FIND_TURN, FINISH, FINISH_CLIP,
    FINISH_DELIVERY, ERASE_CLIP, HEARTBEAT, HOLD_TURN, LEAVE_ENDPOINT, POSTPONE_DELIVERY, PRUNE_MADE,
    PUBLISH, PURGE, READ_OUTBOX, READ_RECORDING, REAP, RECORD_MOTION, RELEASE, RELEASE_RECORDING,
    REMOVE_ORPHAN, RENEW, RENEW_CLIP, REPAIR, RESTORE, RESTORE_DELIVERIES, RETRY_DELIVERY, SETTLE_ACCOUNT,
    STOP_AGENT, STORE_CLIP, CLAIM_RECORDING, REPORT_LOAD,
)  # fmt: skip

SCHEMA: Final = Schema(ALL, purge=PURGE, type_of=type_of)
"""What every client of the relay's Redis is constructed with."""

_CALLED = re.compile(r"(?:call\(|\{)'(?:(XINFO|XGROUP)', ')?([A-Z]+)'")
_SENT = (
    "DEL", "GET", "HGET", "HGETALL", "HMGET", "HSET", "PTTL", "SCAN", "SCARD", "SET", "SMEMBERS", "SSCAN",
    "XACK", "XLEN", "XRANGE", "XREAD", "ZADD", "ZCARD", "ZCOUNT", "ZRANGEBYSCORE", "ZSCORE",
)  # fmt: skip


def called(texts: Iterable[str]) -> set[str]:
    """The commands that scripts call."""
    return {" ".join(filter(None, words)) for text in texts for words in _CALLED.findall(text)}


COMMANDS: Final = tuple(sorted({*_SENT, *called(script.text for script in ALL)}))
"""The commands that a relay with jobs needs a permission for, besides those that run scripts."""

SUBSCRIBING: Final = ("SSUBSCRIBE", "SUNSUBSCRIBE")
"""The commands that a pub/sub connection needs a permission for."""

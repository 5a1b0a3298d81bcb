"""Script calls: each script's KEYS and ARGV are as many as its text reads, and replies become results."""

import re
from importlib import import_module
from typing import Any

import pytest
from tests.rigs.recorded import conversation

from relay_streams import scripts
from relay_streams.errors import Fenced, Missing, TailLost, Unreadable
from relay_streams.keys import KeySpace
from relay_streams.scripts.advance_recording import advance_recording
from relay_streams.scripts.append_replay import append_replay
from relay_streams.scripts.attend import Attendance, attend
from relay_streams.scripts.begin_delivery import Begun, begin_delivery
from relay_streams.scripts.begin_reaping import begin_reaping
from relay_streams.scripts.begin_replay import begin_replay
from relay_streams.scripts.call import Call
from relay_streams.scripts.claim import Claimed, claim
from relay_streams.scripts.claim_recording import claim_recording
from relay_streams.scripts.close_idle import close_idle
from relay_streams.scripts.consume_outbox import Write, consume_outbox
from relay_streams.scripts.create import create
from relay_streams.scripts.defer import defer
from relay_streams.scripts.dequeue import dequeue
from relay_streams.scripts.due_deliveries import due_deliveries
from relay_streams.scripts.enter_endpoint import Entry, enter_endpoint
from relay_streams.scripts.examine import Examination, examine
from relay_streams.scripts.expire import Queue, expire
from relay_streams.scripts.finish import finish
from relay_streams.scripts.finish_delivery import finish_delivery
from relay_streams.scripts.heartbeat import Beat, Denied, heartbeat
from relay_streams.scripts.leave_endpoint import leave_endpoint
from relay_streams.scripts.postpone_delivery import postpone_delivery
from relay_streams.scripts.prune_made import prune_made
from relay_streams.scripts.publish import FrameEvent, publish
from relay_streams.scripts.read_outbox import read_outbox
from relay_streams.scripts.read_recording import Page, read_recording
from relay_streams.scripts.reap import reap
from relay_streams.scripts.record_motion import record_motion
from relay_streams.scripts.release import release
from relay_streams.scripts.release_recording import release_recording
from relay_streams.scripts.remove_orphan import remove_orphan
from relay_streams.scripts.renew import Held, Unrenewed, renew
from relay_streams.scripts.repair import repair
from relay_streams.scripts.report_load import Load, report_load
from relay_streams.scripts.restore import restore
from relay_streams.scripts.restore_deliveries import restore_deliveries
from relay_streams.scripts.retry_delivery import retry_delivery
from relay_streams.scripts.settle_account import Settled, settle_account
from relay_streams.scripts.stop_agent import stop_agent
from relay_wire.position import START, Position

SPACE = KeySpace(1)
KEYS = SPACE.conversation("01JDCALLS")
SHARED = SPACE.shared(0)

FRAME = conversation(1)[0]
PUBLISH = publish(
    KEYS, generation=1, first_seq=1, turn=1, turn_first=Position(1, 1), turn_before=START, trim_to=None,
    uplink_cursor="", checkpoint=b"{}", turn_phase="speaking", turn_ends_at_ms=0, frames=[b"frame", ""],
    events=[FrameEvent(1, "turn.ended", b"{}")], outbox_entries=100,
)  # fmt: skip
RESTORE = restore(
    KEYS, generation=1, lease="worker 1", lease_ms=1, floor=0, cursor="0-0", turn=1, offset=0, state="open",
    key="", trace="", fields=["state", "open"],
)  # fmt: skip
CLAIM = claim(KEYS, owner="worker", lease_ms=1, record_format=1)
TAKE = claim_recording(KEYS, token="1", claim_ms=1)
READ = read_recording(KEYS, after=START, most_bytes=1)
HEARTBEAT = heartbeat("key", value="1", keep_ms=1, publish=True, commands=["GET"])
RENEW = renew([Held(KEYS, "worker 1", 1)], lease_ms=1)
BEGIN = begin_delivery(SHARED, "msg_1_crm", claim_ms=1)
ENTER = enter_endpoint(SHARED, "crm", "1", most=4, hold_ms=1)
FINISH = finish_delivery(
    SHARED, "msg_1_crm", attempt=1, state="due", wait_ms=1, outcome="failed", status=500, keep_delivered_ms=1,
    most_dead=1,
)  # fmt: skip
MOTION = record_motion(KEYS, "closed", generation=1, session="s", opened_ms=1, data=b"{}", outbox_entries=100)
LOAD = report_load(SHARED, worker="w", active=1, owned=2, keep_ms=3000)
WRITE = Write("ZADD", SHARED.leases, (1, "a"))
SETTLED = Settled(
    app="key", revision=1, counts={"2026-01-31": {"credits": 1}}, fields={"viewer_ms": 1}, removed=["view:1"],
    due_ms=None, expire_ms=1, keep_ms=1,
)  # fmt: skip
CALLS: list[Call[Any]] = [
    begin_reaping(SHARED, for_ms=1), close_idle(KEYS, idle_ms=1, reason="expired"), examine(KEYS),
    prune_made(SHARED.made("key"), [KEYS]), remove_orphan(KEYS, gone_ms=1), settle_account(KEYS, SETTLED),
    attend(KEYS, watched_ms=1, outbox_entries=100), CLAIM,
    consume_outbox(SHARED, entry="1-0", writes=[WRITE]),
    create(KEYS, creator="", fields=["state", "open"], started=b"{}", outbox_entries=100),
    defer(KEYS, entry="1-0", first_wait_ms=1, max_wait_ms=2),
    dequeue(SHARED, consumer="worker", limit=1, reclaim_ms=1), expire(SHARED, limit=1), LOAD,
    finish(KEYS, creator="", lease="worker 1", keep_frames_ms=1, keep_record_ms=1, replaced={b"up": b"0"}),
    TAKE, READ,
    advance_recording(KEYS, token="1", claim_ms=1, cursor=START, copied_bytes=0, removed_bytes=0),
    release_recording(KEYS, token="1", next_ms=None, keep_frames_ms=1),
    begin_replay(KEYS, lease="replay 0", expires_ms=1, fields=["state", "open"]),
    append_replay(
        KEYS, lease="replay 0", expires_ms=1, trim_to=Position(1, 1), fields={"turn": 1}, frames=[FRAME]
    ),
    HEARTBEAT, MOTION, PUBLISH, read_outbox(SHARED, consumer="worker", limit=1, reclaim_ms=1),
    reap(SHARED.unowned, group="g", leaving="", idle_ms=1), release(KEYS, lease="worker 1"), RENEW,
    repair(KEYS, creator="", lost_ms=1), RESTORE, BEGIN,
    due_deliveries(SHARED, limit=1, resend_ms=1, keep_dead_ms=1),
    ENTER, FINISH,
    leave_endpoint(SHARED, "crm", "1", finding="fault", tolerated=5, first_rest_ms=1, most_rest_ms=2),
    postpone_delivery(SHARED, "msg_1_crm", wait_ms=1), retry_delivery(SHARED, "msg_1_crm"),
    restore_deliveries(SHARED, ["msg_1_crm"]), stop_agent(KEYS, generation=1),
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.script.name)
def test_a_call_has_what_its_script_reads(call: Call[Any]) -> None:
    """Every index that the text reads of KEYS and ARGV exists; a script that reads further takes lists."""
    text = call.script.text
    keys = {int(index) for index in re.findall(r"KEYS\[(\d+)\]", text)}
    arguments = {int(index) for index in re.findall(r"ARGV\[(\d+)\]", text)}
    assert max(keys, default=1) == len(call.keys) or "#KEYS" in text
    assert max(arguments, default=1) <= len(call.arguments)
    assert len(set(call.keys)) == len(call.keys)


def test_every_script_has_a_module_beside_it() -> None:
    """Its name is the script's, and it has a function of that name."""
    for script in scripts.ALL:
        if script.name != "purge":  # the Redis client builds its call
            assert callable(getattr(import_module(f"relay_streams.scripts.{script.name}"), script.name))


@pytest.mark.parametrize(
    ("call", "reply", "result"),
    [
        (TAKE, [b"held"], None),
        (TAKE, [b"none"], None),
        (TAKE, [b"ok", b"state", b"open"], {b"state": b"open"}),
        (READ, [12, b"0-0"], Page(12, START, [])),
        (READ, [12, b"1-2", FRAME, b"no frame"], Page(12, Position(1, 2), [FRAME])),
        (attend(KEYS), [b"ok", -1, 2000], Attendance(None, 2.0)),
        (attend(KEYS), [b"ok", 1000, 0], Attendance(1.0, 0.0)),
        (begin_reaping(SHARED, for_ms=1), None, None),
        (begin_reaping(SHARED, for_ms=1), b"7", b"7"),
        (begin_reaping(SHARED, for_ms=1), b"damaged", b"0"),
        (examine(KEYS), [b"open", 5, -1, 1, b"gone"], Examination("open", 5, -1, 1, "gone")),
        (CLAIM, [b"held"], None),
        *(
            (
                CLAIM,
                [b"ok", b"7", b"w 7", b"5-1", leased, b"a", b"b"],
                Claimed(7, "w 7", b"5-1", until, {b"a": b"b"}),
            )
            for leased, until in ((b"", 0), (b"99", 99), (b"junk", 0), (b"9" * 16, 0))
        ),
        (dequeue(SHARED, consumer="w", limit=1, reclaim_ms=1), [b"1-0", b"id"], [("1-0", "id")]),
        (expire(SHARED, limit=1), [1, 2, 3000], Queue(1, 2, 3.0)),
        (LOAD, [3, 5, 2], Load(active=3, owned=5, workers=2)),
        (HEARTBEAT, [b"ok", b"1", 2], Beat(b"1", 2)),
        (HEARTBEAT, [b"denied", b"GET, SET"], Denied("GET, SET")),
        (MOTION, [b"ok", 0], False),
        (PUBLISH, [b"ok", 3], 3),
        (
            read_outbox(SHARED, consumer="w", limit=1, reclaim_ms=1),
            [[b"1-0", [b"a", b"b"]]],
            [("1-0", {b"a": b"b"})],
        ),
        (RENEW, [[b"a"], [b"b"]], Unrenewed(["a"], ["b"])),
        (BEGIN, [b"begun", 3, 1, 2000, b"{}", b"body"], Begun(3, 1, 2000, b"{}", b"body")),
        (BEGIN, [b"later"], None),
        (BEGIN, [b"settled"], None),
        (due_deliveries(SHARED, limit=1, resend_ms=1, keep_dead_ms=1), [b"msg_1_crm"], ["msg_1_crm"]),
        (ENTER, [b"entered"], Entry("entered")),
        (ENTER, [b"busy"], Entry("busy")),
        (ENTER, [b"resting", 2000], Entry("resting", 2000)),
        (FINISH, [b"finished", 2], 2),
        (FINISH, [b"stale"], None),
        (RESTORE, [b"ok", 4], 4),
    ],
)  # fmt: skip
def test_what_a_reply_means(call: Call[Any], reply: Any, result: object) -> None:
    """The script's check accepts it, and it becomes the result."""
    assert call.script.reply(reply)
    assert call.read(reply) == result


@pytest.mark.parametrize(
    ("call", "reply", "error"),
    [
        (attend(KEYS), [b"missing"], Missing),
        (CLAIM, [b"later"], Unreadable),
        (PUBLISH, [b"fenced", b"9"], Fenced),
        (PUBLISH, [b"behind", 2], TailLost),
        (MOTION, [b"missing"], Missing),
        (PUBLISH, [b"missing"], Missing),
        (RESTORE, [b"fenced", b"9"], Fenced),
    ],
)
def test_a_refusal_is_raised(call: Call[Any], reply: Any, error: type[Exception]) -> None:
    """The script's check accepts it, and it becomes an error."""
    assert call.script.reply(reply)
    with pytest.raises(error):
        call.read(reply)

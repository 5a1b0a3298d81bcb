"""The plan: one delivery for each endpoint that wants an event, the same however often it is made."""

import json

from relay_jobs.consequences import NOTHING, TaskCall
from relay_jobs.webhooks.endpoints import EVENTS, Endpoint, Endpoints
from relay_jobs.webhooks.plan import body_of, delivery_of, endpoint_of, plan
from relay_streams.keys import KeySpace
from relay_streams.outbox import OutboxEvent
from relay_telemetry.trace_context import NO_TRACE

KEYS = KeySpace().shared(3)
CRM = Endpoint("crm", "main", "https://crm.example", (b"k",))
ALL = Endpoint("all-1", "*", "https://all.example", (b"k",))
TURNS = Endpoint("turns", "main", "https://turns.example", (b"k",), frozenset({"turn.ended"}))
EVENT = OutboxEvent(
    id="01JD.7-9", order=4, type="conversation.ended", conversation="01JD", partition=3, key_id="main",
    data=b'{"reason":"idle","order":99}', trace=NO_TRACE, viewer_ms=5, at_ms=1_700_000_000_123,
    entry_id="1700000000123-0",
)  # fmt: skip


def test_deliveries_of_an_event() -> None:
    """Its facts and body are written once, it is due since the event, and a task for it is sent."""
    made = plan(EVENT, Endpoints([CRM, TURNS, ALL]), KEYS, most_bytes=65536)

    names = [delivery_of(EVENT.id, endpoint) for endpoint in (CRM, ALL)]
    assert made.tasks == tuple(TaskCall("webhooks.deliver", (3, name)) for name in names)
    assert [(write.command, write.key) for write in made.writes] == [
        write
        for name in names
        for write in (
            ("HSETNX", KEYS.webhook(name)), ("HSETNX", KEYS.webhook(name)), ("ZADD", KEYS.webhooks_due),
            ("ZADD", KEYS.webhooks_sent),
        )
    ]  # fmt: skip
    assert made.writes[2].args == (EVENT.at_ms, names[0])
    assert json.loads(made.writes[0].args[1]) == {
        "endpoint": "crm", "event": "01JD.7-9", "type": "conversation.ended", "conversation": "01JD",
        "order": 4, "at_ms": EVENT.at_ms,
    }  # fmt: skip
    assert made.writes[1].args == ("body", body_of(EVENT, 65536))
    assert plan(EVENT, Endpoints([CRM, TURNS, ALL]), KEYS, most_bytes=65536) == made


def test_what_has_no_deliveries() -> None:
    """An internal event, one of a conversation that renders a clip, and one that no endpoint wants."""
    endpoints = Endpoints([CRM, ALL])
    assert plan(EVENT._replace(order=0), endpoints, KEYS, most_bytes=65536) == NOTHING
    assert plan(EVENT._replace(key_id="clips.main"), endpoints, KEYS, most_bytes=65536) == NOTHING
    assert plan(EVENT._replace(type="motion.opened"), endpoints, KEYS, most_bytes=65536) == NOTHING
    assert plan(EVENT._replace(key_id="other"), Endpoints([CRM]), KEYS, most_bytes=65536) == NOTHING


def test_ids() -> None:
    """Of event and endpoint; without a full stop; the endpoint can be read from it."""
    ids = {delivery_of(event, endpoint) for event in ("a.1-2", "a.1-3") for endpoint in (CRM, ALL)}
    assert len(ids) == 4
    assert all("." not in name and len(name) < 90 for name in ids)
    assert endpoint_of(delivery_of("a.1-2", ALL)) == "all-1"
    assert delivery_of("01JD.7-9", CRM) == "msg_59ef487f4aeddad4508069a44b52173d_crm"


def test_a_body() -> None:
    """Type, time of the event, and its data with conversation and order number, which data cannot replace."""
    assert json.loads(body_of(EVENT, 65536)) == {
        "type": "conversation.ended",
        "timestamp": "2023-11-14T22:13:20.123Z",
        "data": {"reason": "idle", "event": "01JD.7-9", "conversation": "01JD", "order": 4},
    }


def test_data_that_does_not_fit() -> None:
    """It is left out, and the body has all that identifies the event."""
    for data in (
        b'{"text":"' + b"x" * 65536 + b'"}',
        b'{"text":"' + b"x" * 65400 + b'"}',
        b"[]",
        b"{",
        b"\xff",
    ):
        assert json.loads(body_of(EVENT._replace(data=data), 65536))["data"] == {
            "event": "01JD.7-9", "conversation": "01JD", "order": 4, "truncated": True,
        }  # fmt: skip


def test_every_public_type_is_known() -> None:
    """Endpoints can name each of them."""
    assert len(EVENTS) == 7

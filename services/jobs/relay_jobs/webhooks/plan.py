"""The plan: what an event means for webhooks, one delivery for each endpoint of the event. Pure."""

import hashlib
from datetime import UTC, datetime
from typing import Final

import msgspec

from relay_jobs.consequences import NOTHING, Plan, TaskCall
from relay_jobs.webhooks.endpoints import Endpoint, Endpoints
from relay_streams.clips import is_rendering
from relay_streams.keys import PartitionKeys
from relay_streams.outbox import OutboxEvent
from relay_streams.webhooks import Facts, planned

DELIVER: Final = "webhooks.deliver"
"""The job that makes an attempt."""
_DIGITS: Final = 32


def plan(event: OutboxEvent, endpoints: Endpoints, keys: PartitionKeys, *, most_bytes: int) -> Plan:
    """The deliveries of an event.

    Args:
        event: The event; an internal one has none, nor has one of a conversation that renders a clip.
        endpoints: The endpoints.
        keys: Of the event's partition.
        most_bytes: The largest body.
    """
    is_public = event.order > 0 and not is_rendering(event.key_id)
    wanted = endpoints.of(event.key_id, event.type) if is_public else ()
    if not wanted:
        return NOTHING
    body = body_of(event, most_bytes)
    deliveries = [(delivery_of(event.id, endpoint), endpoint) for endpoint in wanted]
    return Plan(
        tuple(
            write
            for delivery, endpoint in deliveries
            for write in planned(keys, delivery, _facts(event, endpoint), body)
        ),
        tuple(TaskCall(DELIVER, (event.partition, delivery)) for delivery, _ in deliveries),
    )


def delivery_of(event_id: str, endpoint: Endpoint) -> str:
    """The id of a delivery, which is its ``webhook-id``: a function of the event and the endpoint.

    It ends in the endpoint's name, and has no full stop, which separates the parts of the signed text.
    """
    digest = hashlib.sha256(f"{endpoint.name} {event_id}".encode()).hexdigest()
    return f"msg_{digest[:_DIGITS]}_{endpoint.name}"


def endpoint_of(delivery: str) -> str:
    """The name of a delivery's endpoint."""
    return delivery.rpartition("_")[2]


def body_of(event: OutboxEvent, most_bytes: int) -> bytes:
    """The body of an event's requests; data that is too large, or no JSON object, is left out of it."""
    known = {"event": event.id, "conversation": event.conversation, "order": event.order}
    without = _encode(event, {**known, "truncated": True})
    if len(event.data) > most_bytes:
        return without
    try:
        body = _encode(event, {**msgspec.json.decode(event.data, type=dict[str, object]), **known})
    except msgspec.DecodeError:
        return without
    return body if len(body) <= most_bytes else without


def _encode(event: OutboxEvent, data: dict[str, object]) -> bytes:
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC)
    timestamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"type": event.type, "timestamp": timestamp, "data": data})


def _facts(event: OutboxEvent, endpoint: Endpoint) -> Facts:
    return Facts(endpoint.name, event.id, event.type, event.conversation, event.order, event.at_ms)

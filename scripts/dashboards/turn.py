"""A turn's way, hop by hop: which of them is late, and which loses something."""

from scripts.dashboards.board import Board, Panel, Query, Row, Unit, bars, graph, traced
from scripts.dashboards.promql import (
    failures,
    increases,
    increases_by,
    quantile,
    quantiles,
    rate,
    rate_by_service,
    rates,
)

_HOPS = {
    "1 speech into the up stream": "relay_speech_chunk_seconds",
    "2 up stream to the owner": "relay_ingest_uplink_seconds",
    "3 speech to the first audio": "relay_turn_first_audio_seconds",
    "4 Motion session opened": "relay_motion_open_seconds",
    "5 first audio to the first motion": "relay_ingest_first_motion_seconds",
    "6 frame into the down stream": "relay_publish_seconds",
    "7 publication to the socket": "relay_gateway_latency_seconds",
}


def board() -> Board:
    """The dashboard."""
    return Board(
        uid="relay-turn",
        title="Avatar Relay: a turn's way",
        description="Which hop of a turn is late, and which loses something?",
        rows=(
            Row("Where is the lag?", _compared()),
            Row("How late is each hop?", _latencies()),
            Row("How much passes each hop?", _traffic()),
            Row("Where is something lost, and why?", _losses()),
        ),
    )


def _compared() -> tuple[Panel, ...]:
    queries = [Query(quantile(0.95, metric), hop) for hop, metric in _HOPS.items()]
    whole = (
        Query(quantile(0.95, "relay_gateway_first_audio_seconds"), "end to end: first audio"),
        Query(quantile(0.95, "relay_gateway_first_motion_seconds"), "end to end: first motion"),
    )
    return (
        bars(
            "Each hop now (95th percentile)",
            "The hops in the order of a turn. Hop 3 contains hops 1 and 2; hop 5 contains hop 4 when the "
            "session is new.",
            Unit.SECONDS,
            *queries,
        ),
        graph(
            "Each hop (95th percentile)",
            "The same over time: the hop whose line rises with the end-to-end time is the one to look at.",
            Unit.SECONDS,
            *queries,
            *whole,
        ),
    )


def _latencies() -> tuple[Panel, ...]:
    return (
        traced(
            "1 Speech into the up stream",
            "Control, gateway or agent: time to append a piece of speech, retries included. Late: Redis, or "
            "the up stream of the conversation is full.",
            *quantiles(_HOPS["1 speech into the up stream"]),
        ),
        traced(
            "2 Up stream to the owner",
            "Age of an entry of the up stream when its owner handles it. Late: the worker's loop, or the "
            "conversation waited for an owner.",
            *quantiles(_HOPS["2 up stream to the owner"]),
        ),
        traced(
            "3 Speech to the first audio",
            "Owner: from storing a turn's first speech to appending its first audio frame. Late while 2 is "
            "not: the turn waited for the one before it.",
            *quantiles(_HOPS["3 speech to the first audio"]),
        ),
        traced(
            "4 Motion session opened",
            "Token, connection and handshake at Motion Server, with repeated attempts. Late: the vendor or "
            "the way to it.",
            *quantiles(_HOPS["4 Motion session opened"]),
        ),
        traced(
            "5 First audio to the first motion",
            "Owner: how long after the first audio frame the first motion frame follows. Late while 4 is "
            "not: Motion Server computes slowly.",
            *quantiles(_HOPS["5 first audio to the first motion"]),
        ),
        traced(
            "6 Frame into the down stream",
            "Owner: from appending a frame to Redis's acknowledgement. Late: Redis.",
            *quantiles(_HOPS["6 frame into the down stream"]),
        ),
        traced(
            "7 Publication to the socket",
            "Gateway: from the publication of a frame to writing it to live viewers; of each batch, its "
            "oldest frame. Late while 6 is not: the gateway's loop or its subscription.",
            *quantiles(_HOPS["7 publication to the socket"]),
        ),
        traced(
            "End to end: first audio",
            "From storing a turn's first speech to writing its first audio to the viewers.",
            *quantiles("relay_gateway_first_audio_seconds"),
        ),
        traced(
            "End to end: first motion",
            "From storing a turn's first speech to writing its first motion to the viewers.",
            *quantiles("relay_gateway_first_motion_seconds"),
        ),
    )


def _traffic() -> tuple[Panel, ...]:
    return (
        graph(
            "1 Speech received, by source",
            "Bytes of speech per second at control, gateways and agents.",
            Unit.BYTES_PER_S,
            rates("relay_speech_audio_bytes_total", "source"),
        ),
        graph(
            "2 and 7 Stream entries, by service",
            "Entries per second that ingest gets from up streams and gateways from down streams: with the "
            "notification, or by a read.",
            Unit.PER_S,
            Query(rate_by_service("relay_stream_inline_total"), "{{service}}: with the notification"),
            Query(rate_by_service("relay_stream_entries_total"), "{{service}}: read"),
        ),
        graph(
            "5 Motion received",
            "Motion payloads per second that Motion Server sent.",
            Unit.PER_S,
            Query(rate("relay_motion_payloads_total"), "payloads"),
        ),
        graph(
            "6 Frames published, by kind",
            "Frames per second appended to down streams and acknowledged.",
            Unit.PER_S,
            rates("relay_publish_frames_total", "kind"),
        ),
        graph(
            "7 Frames read, by kind",
            "Frames per second that gateways read: published frames times gateways with viewers of the "
            "conversation.",
            Unit.PER_S,
            rates("relay_gateway_frames_total", "kind"),
        ),
        graph(
            "7 Frames delivered, by kind",
            "Frames per second written to live viewers: frames read times viewers.",
            Unit.PER_S,
            rates("relay_gateway_deliveries_total", "kind"),
        ),
    )


def _losses() -> tuple[Panel, ...]:
    return (
        graph(
            "1 Speech discarded by control",
            "Bytes in each interval, by reason: the turn was over, or its audio is not supported.",
            Unit.BYTES,
            failures("relay_control_discarded_bytes_total", "reason"),
        ),
        graph(
            "1 Messages of viewers dropped",
            "Messages in each interval that did not enter the up stream, by reason.",
            Unit.COUNT,
            failures("relay_gateway_uplink_dropped_total", "reason"),
        ),
        graph(
            "2 Entries that the up stream did not accept",
            "Entries in each interval, by reason. `uplinkfull`: the owner does not keep up, or there is "
            "none.",
            Unit.COUNT,
            failures("relay_uplink_rejected_total", "reason"),
        ),
        graph(
            "3 Input that was not published",
            "Audio, motion and playback reports in each interval, by reason.",
            Unit.COUNT,
            failures("relay_ingest_discarded_total", "what", "reason"),
        ),
        graph(
            "4 Motion failures",
            "Failures in each interval, by the vendor's code and the phase. The turn goes on with audio "
            "alone.",
            Unit.COUNT,
            failures("relay_motion_failures_total", "code", "phase"),
        ),
        graph(
            "6 Writers closed by an error",
            "Conversations in each interval whose owner could not append any more. `fenced`: another worker "
            "owns it, which is right after a take-over.",
            Unit.COUNT,
            failures("relay_publish_lost_total", "reason"),
        ),
        graph(
            "7 Streams that broke off, and gaps",
            "In each interval: streams that did not continue at the frame after the last one read, and gap "
            "events sent to viewers.",
            Unit.COUNT,
            increases("relay_gateway_breaks_total", "breaks"),
            increases("relay_gateway_gaps_total", "gaps"),
        ),
        graph(
            "7 Turns by how they were delivered",
            "Turns in each interval, per gateway: whole to every live viewer, or interrupted by a gap, a "
            "break or a slow viewer.",
            Unit.COUNT,
            increases_by("relay_gateway_turns_total", "result"),
        ),
        graph(
            "7 Viewers' sockets closed, by code",
            "Closes in each interval.",
            Unit.COUNT,
            failures("relay_gateway_closes_total", "code"),
        ),
    )

"""Gateways: viewers, how they are served, and which are slow."""

from scripts.dashboards.board import Board, Panel, Query, Row, Unit, graph, stat, traced
from scripts.dashboards.promql import (
    by_instance,
    failures,
    increases,
    increases_by,
    quantile,
    quantiles,
    rate,
    rates,
    total,
)


def board() -> Board:
    """The dashboard."""
    return Board(
        uid="relay-gateways",
        title="Avatar Relay: gateways",
        description="Are viewers served, and who is slow?",
        rows=(
            Row("Is it healthy?", _health()),
            Row("Where is the lag?", _lag()),
            Row("Who is slow?", _slow()),
            Row("What do viewers send?", _messages()),
            Row("Saturation", _saturation()),
        ),
    )


def _health() -> tuple[Panel, ...]:
    return (
        stat("Viewers", "Open viewer sockets.", Unit.COUNT, Query(total("relay_gateway_viewers"), "open")),
        stat(
            "Conversations read",
            "Conversations that gateways read, each counted by every gateway that has viewers of it.",
            Unit.COUNT,
            Query(total("relay_gateway_feeds"), "feeds"),
        ),
        stat(
            "Viewers that are not live",
            "Viewers that still get earlier frames from memory or from Redis.",
            Unit.COUNT,
            Query(total("relay_gateway_catching_up"), "behind"),
        ),
        stat(
            "Draining",
            "Processes that end: their viewers are advised to go to another gateway.",
            Unit.COUNT,
            Query(total("relay_draining"), "draining"),
        ),
        graph(
            "Viewers, by protocol",
            "Open viewer sockets.",
            Unit.COUNT,
            Query(total("relay_gateway_viewers", "protocol"), "{{protocol}}"),
            stacked=True,
        ),
        graph(
            "Sockets closed, by code",
            "Closes in each interval. `slow_consumer`: viewers that do not read fast enough; `restart`: the "
            "gateway drained; `abnormal`: the connection broke.",
            Unit.COUNT,
            failures("relay_gateway_closes_total", "code"),
        ),
        graph(
            "Viewers that came back, by result",
            "In each interval, viewers with a position: nothing missed, the rest from memory, from Redis, "
            "or with a gap.",
            Unit.COUNT,
            increases_by("relay_gateway_resumes_total", "result"),
        ),
    )


def _lag() -> tuple[Panel, ...]:
    return (
        traced(
            "Relay latency",
            "From the publication of a frame to writing it to live viewers; of each batch, its oldest frame.",
            *quantiles("relay_gateway_latency_seconds"),
        ),
        traced(
            "Relay latency, by gateway",
            "99th percentile. One gateway above the others: its loop or its machine; all of them: Redis.",
            Query(quantile(0.99, "relay_gateway_latency_seconds", "instance"), "{{instance}}"),
        ),
        graph(
            "Streams without a read",
            "Time since the most overdue partition was read, by reader; 0 when none is overdue.",
            Unit.SECONDS,
            Query(total("relay_stream_stalled_seconds", "consumer", aggregate="max"), "{{consumer}}"),
        ),
    )


def _slow() -> tuple[Panel, ...]:
    return (
        graph(
            "Bytes that viewers have not taken",
            "Bytes written to viewers that the kernel has not accepted yet, by gateway.",
            Unit.BYTES,
            by_instance("relay_gateway_unsent_bytes"),
        ),
        graph(
            "Viewers that are not live, by gateway",
            "Viewers that still get earlier frames.",
            Unit.COUNT,
            by_instance("relay_gateway_catching_up"),
        ),
        graph(
            "Slow viewers",
            "In each interval: times that delivery waited for a congested connection, viewers closed as too "
            "slow, and gap events.",
            Unit.COUNT,
            increases("relay_gateway_fallen_behind_total", "fell behind"),
            increases("relay_gateway_closes_total", "closed", 'code="slow_consumer"'),
            increases("relay_gateway_gaps_total", "gaps"),
        ),
        graph(
            "Frames sent again, by source",
            "Frames per second to viewers that are behind: from memory (`ring`) or from Redis (`stream`).",
            Unit.PER_S,
            rates("relay_gateway_replayed_frames_total", "source"),
        ),
        graph(
            "Recent frames in memory",
            "Bytes of frames kept for viewers that come back, by gateway.",
            Unit.BYTES,
            by_instance("relay_gateway_ring_bytes"),
        ),
        graph(
            "Reads and deliveries that failed",
            "In each interval: reads for viewers that are behind, and viewers closed by an exception.",
            Unit.COUNT,
            increases("relay_gateway_replay_failures_total", "reads"),
            increases("relay_gateway_defects_total", "exceptions"),
            increases("relay_gateway_foreign_entries_total", "entries without a frame"),
        ),
    )


def _messages() -> tuple[Panel, ...]:
    return (
        graph(
            "Messages, by kind",
            "Messages per second from viewers.",
            Unit.PER_S,
            rates("relay_gateway_messages_total", "kind"),
        ),
        graph(
            "Messages dropped, by reason",
            "Messages in each interval that did not enter the up stream.",
            Unit.COUNT,
            failures("relay_gateway_uplink_dropped_total", "reason"),
        ),
        graph(
            "Messages that could not be read",
            "In each interval: malformed messages and reports, and those of an unknown type.",
            Unit.COUNT,
            increases("relay_gateway_bad_messages_total", "malformed messages"),
            increases("relay_gateway_bad_reports_total", "malformed reports"),
            increases("relay_gateway_unknown_messages_total", "unknown type"),
        ),
    )


def _saturation() -> tuple[Panel, ...]:
    return (
        graph(
            "Frames read and delivered, by kind",
            "Frames per second: read from streams, and written to live viewers.",
            Unit.PER_S,
            Query(rate("relay_gateway_frames_total", "kind"), "read {{kind}}"),
            Query(rate("relay_gateway_deliveries_total", "kind"), "delivered {{kind}}"),
        ),
        graph(
            "Bytes read and delivered, by kind",
            "Bytes per second: read from streams, and written to live viewers.",
            Unit.BYTES_PER_S,
            Query(rate("relay_gateway_frame_bytes_total", "kind"), "read {{kind}}"),
            Query(rate("relay_gateway_delivered_bytes_total", "kind"), "delivered {{kind}}"),
        ),
        graph(
            "Viewers, by gateway",
            "Open viewer sockets: whether the balancer spreads them.",
            Unit.COUNT,
            by_instance("relay_gateway_viewers"),
        ),
        graph(
            "Refused and closed by a limit",
            "Requests and sockets in each interval, by limit.",
            Unit.COUNT,
            failures("relay_gateway_limited_total", "limit"),
        ),
        graph(
            "Connections",
            "Open connections of clients, by process.",
            Unit.COUNT,
            by_instance("relay_http_connections"),
        ),
    )

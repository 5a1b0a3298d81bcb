"""Redis as the relay sees it."""

from scripts.dashboards.board import Board, Panel, Query, Row, Unit, graph, stat, traced
from scripts.dashboards.promql import (
    by_instance,
    failures,
    growth,
    increases,
    quantile,
    quantiles,
    rate,
    rate_by_service,
    total,
)


def board() -> Board:
    """The dashboard."""
    return Board(
        uid="relay-redis",
        title="Avatar Relay: Redis",
        description="Does Redis answer, in time and with room to spare?",
        rows=(
            Row("Is it healthy?", _health()),
            Row("Where is the lag?", _lag()),
            Row("Saturation", _saturation()),
            Row("Traffic", _traffic()),
        ),
    )


def _health() -> tuple[Panel, ...]:
    return (
        stat(
            "Clients connected",
            "Redis clients of the processes, and how many of them are connected.",
            Unit.COUNT,
            Query(total("relay_redis_connected", aggregate="count"), "all"),
            Query(total("relay_redis_connected"), "connected"),
        ),
        stat(
            "Clients whose heartbeat works",
            "Clients whose last heartbeat went through, which means that Redis takes writes.",
            Unit.COUNT,
            Query(total("relay_redis_healthy", aggregate="count"), "all"),
            Query(total("relay_redis_healthy"), "healthy"),
        ),
        stat(
            "Other constants",
            "Processes whose settings differ from those that the installation was made with. It must be 0.",
            Unit.COUNT,
            Query(total("relay_installation_disagrees"), "disagree"),
            steps={None: "green", 1: "red"},
        ),
        stat(
            "Failovers",
            "Primaries found to have been replaced in the time shown.",
            Unit.COUNT,
            Query(growth("relay_redis_failovers_total", window="$__range"), "seen"),
        ),
        graph(
            "Connections that broke, by client",
            "In each interval.",
            Unit.COUNT,
            failures("relay_redis_reconnects_total", "client"),
        ),
        graph(
            "Commands refused, by reason",
            "Commands in each interval that Redis answered with an error. `OOM`: its memory is full; "
            "`READONLY`: a replica; `NOSCRIPT` after a restart is usual.",
            Unit.COUNT,
            failures("relay_redis_refusals_total", "reason"),
        ),
        graph(
            "Connections closed by the relay",
            "In each interval: for a reply that matches no command, or an exception of the relay's own.",
            Unit.COUNT,
            failures("relay_redis_violations_total", "kind"),
        ),
    )


def _lag() -> tuple[Panel, ...]:
    return (
        traced(
            "Time of commands",
            "From submitting a command or script to its reply, of all clients. Blocking reads are not "
            "counted.",
            *quantiles("relay_redis_command_seconds"),
        ),
        traced(
            "Time of commands, by name",
            "99th percentile, by command or script. One above the others: that script; all of them: Redis "
            "or the network.",
            Query(quantile(0.99, "relay_redis_command_seconds", "command"), "{{command}}"),
        ),
        traced(
            "Time of commands, by client",
            "99th percentile, by client. One above the others: its process or its connection.",
            Query(quantile(0.99, "relay_redis_command_seconds", "client"), "{{client}}"),
        ),
        traced(
            "Appending frames",
            "From appending a frame to its acknowledgement.",
            *quantiles("relay_publish_seconds"),
        ),
        graph(
            "Streams without a read",
            "Time since the most overdue partition was read, by reader.",
            Unit.SECONDS,
            Query(total("relay_stream_stalled_seconds", "consumer", aggregate="max"), "{{consumer}}"),
        ),
        graph(
            "Reads that failed, and stalls",
            "In each interval: failed reads by reason, and partitions without a read although connected.",
            Unit.COUNT,
            failures("relay_stream_failures_total", "reason"),
            increases("relay_stream_stalls_total", "stalls"),
        ),
    )


def _saturation() -> tuple[Panel, ...]:
    used = total("relay_redis_memory_bytes", aggregate="max")
    limit = total("relay_redis_memory_limit_bytes", aggregate="max")
    return (
        graph(
            "Memory",
            "Memory that Redis uses, and its limit (`maxmemory`; 0 is none), as the heartbeats read them.",
            Unit.BYTES,
            Query(used, "used"),
            Query(limit, "limit"),
        ),
        graph(
            "Frames kept in down streams",
            "Bytes of frames of the conversations that have an owner, by worker.",
            Unit.BYTES,
            by_instance("relay_stream_retained_bytes"),
        ),
        graph(
            "Acknowledged frames kept by owners",
            "Bytes that owners keep to append them again if Redis loses them.",
            Unit.BYTES,
            by_instance("relay_publish_retransmit_bytes"),
        ),
    )


def _traffic() -> tuple[Panel, ...]:
    return (
        graph(
            "Commands",
            "Commands per second, by name.",
            Unit.PER_S,
            Query(rate("relay_redis_command_seconds_count", "command"), "{{command}}"),
        ),
        graph(
            "Stream entries, by service",
            "Entries per second: with the notification, or by a read. Reads rise with the load.",
            Unit.PER_S,
            Query(rate_by_service("relay_stream_inline_total"), "{{service}}: with the notification"),
            Query(rate_by_service("relay_stream_entries_total"), "{{service}}: read"),
        ),
        graph(
            "Reads",
            "Read commands per second.",
            Unit.PER_S,
            Query(rate("relay_stream_reads_total"), "reads"),
        ),
        graph(
            "Cluster: commands redirected, and requests for the slot map",
            "In each interval. There are none without a cluster.",
            Unit.COUNT,
            failures("relay_redis_redirects_total", "kind"),
            failures("relay_redis_map_refreshes_total", "outcome"),
        ),
        graph(
            "Speech that was appended again",
            "In each interval: speech that Redis had lost, retries of pieces of speech, and speech that too "
            "few replicas had confirmed.",
            Unit.COUNT,
            increases("relay_speech_rewinds_total", "lost"),
            increases("relay_speech_waits_total", "retries"),
            increases("relay_uplink_unreplicated_total", "not replicated"),
        ),
        graph(
            "Scripts sent, and keys of another type",
            "In each interval. Scripts are sent once after each restart of Redis.",
            Unit.COUNT,
            increases("relay_redis_scripts_sent_total", "scripts"),
            increases("relay_redis_purges_total", "keys of another type"),
        ),
    )

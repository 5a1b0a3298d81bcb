"""The processes themselves: event loop, memory, files, logs and traces."""

from scripts.dashboards.board import Board, Panel, Query, Row, Unit, graph, ratio, stat, traced
from scripts.dashboards.promql import (
    by_instance,
    failures,
    increases,
    quantile,
    quantiles,
    rate,
    series,
    total,
)


def board() -> Board:
    """The dashboard."""
    return Board(
        uid="relay-runtime",
        title="Avatar Relay: runtime",
        description="Do the processes have enough CPU, memory and files?",
        rows=(
            Row("Is it healthy?", _health()),
            Row("Where is the lag?", _lag()),
            Row("Saturation", _saturation()),
            Row("What is lost about itself?", _observing()),
        ),
    )


def _health() -> tuple[Panel, ...]:
    return (
        stat(
            "Ready",
            "Processes that take work.",
            Unit.COUNT,
            Query(total("relay_ready"), "ready"),
        ),
        stat(
            "Draining",
            "Processes that hand their work over before they end.",
            Unit.COUNT,
            Query(total("relay_draining"), "draining"),
        ),
        stat(
            "Builds",
            "Processes by service and version. Two versions of a service: an update is under way, or got "
            "stuck. `hot_path` is `compiled` in a wheel that was built so.",
            Unit.COUNT,
            Query(
                f"count by (service, version, hot_path) ({series('relay_build_info')})",
                "{{service}} {{version}} {{hot_path}}",
            ),
        ),
        graph(
            "Ready, by process",
            "1 while a process takes work; `/readyz` has the reason when it does not.",
            Unit.COUNT,
            by_instance("relay_ready"),
        ),
        graph(
            "Age of processes",
            "Time since the start. A line that falls to 0 is a restart.",
            Unit.SECONDS,
            Query(f"time() - {series('process_start_time_seconds')}", "{{instance}}"),
        ),
        graph(
            "Sockets closed by an error of their handler",
            "In each interval, by close code.",
            Unit.COUNT,
            failures("relay_http_socket_errors_total", "code"),
        ),
    )


def _lag() -> tuple[Panel, ...]:
    return (
        traced(
            "Loop lag",
            "How late the event loops run a timer that is due. Above 0.05 s everything that a process does "
            "is late.",
            *quantiles("relay_loop_lag_seconds"),
        ),
        traced(
            "Loop lag, by process",
            "99th percentile. One above the others is short of CPU, or blocked by a call.",
            Query(quantile(0.99, "relay_loop_lag_seconds", "instance"), "{{instance}}"),
        ),
        graph(
            "Largest loop lag",
            "The largest of the last 10 s, by process.",
            Unit.SECONDS,
            by_instance("relay_loop_lag_max_seconds"),
        ),
    )


def _saturation() -> tuple[Panel, ...]:
    return (
        graph(
            "CPU",
            "Cores in use, by process. A process uses one at most.",
            Unit.COUNT,
            Query(
                rate("process_cpu_seconds_total", "instance"),
                "{{instance}}",
            ),
        ),
        graph(
            "Memory", "Resident memory, by process.", Unit.BYTES, by_instance("process_resident_memory_bytes")
        ),
        ratio(
            "Open files",
            "Open files by their limit. Near 100 % connections are refused.",
            Query(
                f"{total('process_open_fds', 'instance')} / {total('process_max_fds', 'instance')}",
                "{{instance}}",
            ),
        ),
        graph(
            "Garbage collections",
            "Collections of the oldest generation per second, by process. Each stops the process for "
            "milliseconds.",
            Unit.PER_S,
            Query(
                rate("python_gc_collections_total", "instance", 'generation="2"'),
                "{{instance}}",
            ),
        ),
        graph(
            "Connections", "Open connections of clients.", Unit.COUNT, by_instance("relay_http_connections")
        ),
        graph(
            "Connections refused or cut",
            "In each interval: too few open files, no complete header in time, an unread body, or not HTTP.",
            Unit.COUNT,
            increases("relay_http_connections_refused_total", "no open files left"),
            increases("relay_http_unfinished_total", "no header in time"),
            increases("relay_http_unread_total", "unread body"),
            increases("relay_http_unreadable_total", "not HTTP"),
        ),
    )


def _observing() -> tuple[Panel, ...]:
    return (
        graph(
            "Log lines dropped, by reason",
            "In each interval: a process never waits for the reader of its log.",
            Unit.COUNT,
            failures("relay_log_lines_dropped_total", "reason"),
        ),
        graph(
            "Spans dropped, by reason",
            "In each interval: a process never waits for the collector.",
            Unit.COUNT,
            failures("relay_traces_dropped_total", "reason"),
        ),
        graph(
            "Changed certificates that could not be used",
            "In each interval; the last ones stay in use.",
            Unit.COUNT,
            increases("relay_tls_failures_total", "failures"),
        ),
    )

"""Jobs: events of conversations, and what follows from them."""

from scripts.dashboards.board import Board, Panel, Query, Row, Unit, graph, ratio, stat
from scripts.dashboards.promql import (
    failures,
    growth,
    increases,
    increases_by,
    quantile,
    quantiles,
    rate,
    rates,
    series,
    total,
)


def board() -> Board:
    """The dashboard."""
    return Board(
        uid="relay-jobs",
        title="Avatar Relay: jobs",
        description="Does what follows from conversations happen, in time and without loss?",
        rows=(
            Row("Is it healthy?", _health()),
            Row("What is lost?", _lost()),
            Row("Where is the lag?", _lag()),
            Row("Tasks", _tasks()),
            Row("Webhooks", _webhooks()),
            Row("Recordings and clips", _recordings()),
            Row("Usage and the reaper", _upkeep()),
        ),
    )


def _largest(metric: str) -> str:
    """A number of the whole relay: every process that has it has the same."""
    return total(metric, aggregate="max")


def _ready_by_role() -> str:
    role = series("relay_build_info", 'service=~"jobs-.+"')
    return f"sum by (service) ({series('relay_ready')} * on (job, instance) group_left (service) {role})"


def _health() -> tuple[Panel, ...]:
    return (
        stat(
            "Events that wait",
            "Events in the outbox that no dispatcher has consumed. It is near 0 while dispatchers keep up.",
            Unit.COUNT,
            Query(_largest("relay_jobs_outbox_entries"), "events"),
        ),
        stat(
            "Age of the oldest event",
            "How late everything is that follows from events. Above 60 s nobody consumes some partition.",
            Unit.SECONDS,
            Query(_largest("relay_jobs_outbox_oldest_seconds"), "oldest"),
            steps={None: "green", 15: "orange", 60: "red"},
        ),
        stat(
            "Dead letters",
            "Webhooks that are attempted no more; `avatar-relay webhooks list --dead` has them.",
            Unit.COUNT,
            Query(_largest("relay_jobs_dead_webhooks"), "dead letters"),
            steps={None: "green", 1: "orange"},
        ),
        stat(
            "Overdue recording",
            "How long the recording that has waited longest for a worker is overdue.",
            Unit.SECONDS,
            Query(_largest("relay_jobs_recordings_overdue_seconds"), "overdue"),
            steps={None: "green", 60: "orange", 300: "red"},
        ),
        graph(
            "Ready processes, by role",
            "A role without a ready process does not do its part. Without a dispatcher the panels of events "
            "have no data, and events are lost when the outbox is full.",
            Unit.COUNT,
            Query(_ready_by_role(), "{{service}}"),
        ),
        graph(
            "Workers started anew",
            "In each interval: Celery's worker answered no pulse (`stalled`), or its process had ended.",
            Unit.COUNT,
            failures("relay_jobs_worker_restarts_total", "reason"),
        ),
        graph(
            "Tasks that did not end well",
            "In each interval, by task and outcome. The work of a lost task stays in the store, and a tick "
            "sends it again.",
            Unit.COUNT,
            failures("relay_jobs_tasks_ended_total", "task", "outcome", labels='outcome!="done"'),
        ),
    )


def _lost() -> tuple[Panel, ...]:
    return (
        graph(
            "Events discarded",
            "Events that the bound of the outbox has removed before they were consumed: nothing follows from "
            "them.",
            Unit.COUNT,
            Query(
                f"max (increase({series('relay_jobs_outbox_discarded_total')}[$__rate_interval]))", "events"
            ),
        ),
        graph(
            "Gaps in recordings",
            "Places where frames left the stream before they were copied.",
            Unit.COUNT,
            increases("relay_jobs_recording_gaps_total", "gaps"),
        ),
        graph(
            "New dead letters, by reason",
            "Webhooks whose attempts ended without success, in each interval.",
            Unit.COUNT,
            failures("relay_jobs_webhook_dead_letters_total", "reason"),
        ),
        graph(
            "Lost webhooks",
            "In each interval: dead letters removed by their bound, and deliveries that could not be read. "
            "`restored`: Redis had lost their index; they are late, not lost.",
            Unit.COUNT,
            increases("relay_jobs_webhook_dead_letters_discarded_total", "discarded"),
            increases("relay_jobs_webhook_damaged_total", "damaged"),
            increases("relay_jobs_webhooks_restored_total", "restored"),
        ),
    )


def _lag() -> tuple[Panel, ...]:
    return (
        graph(
            "Oldest event and oldest due webhook",
            "Both are ages of the whole relay, the largest that a dispatcher has read.",
            Unit.SECONDS,
            Query(_largest("relay_jobs_outbox_oldest_seconds"), "event"),
            Query(_largest("relay_jobs_webhook_oldest_due_seconds"), "webhook"),
        ),
        graph(
            "Waiting work",
            "Events in the outbox, webhooks not delivered yet and those of them that are due, and recordings "
            "that are not finished.",
            Unit.COUNT,
            Query(_largest("relay_jobs_outbox_entries"), "events"),
            Query(_largest("relay_jobs_pending_webhooks"), "webhooks"),
            Query(_largest("relay_jobs_due_webhooks"), "webhooks due"),
            Query(_largest("relay_jobs_unfinished_recordings"), "recordings"),
        ),
        graph(
            "From event to delivered webhook",
            "All attempts and waits included.",
            Unit.SECONDS,
            *quantiles("relay_jobs_webhook_delivery_seconds"),
        ),
        graph(
            "Settling usage late",
            "From the time at which the account of a conversation was due to its settlement.",
            Unit.SECONDS,
            *quantiles("relay_jobs_usage_late_seconds"),
        ),
    )


def _tasks() -> tuple[Panel, ...]:
    done = rate("relay_jobs_tasks_ended_total", labels='outcome="done"')
    return (
        graph(
            "Events consumed, by type",
            "Events per second that dispatchers have turned into writes and tasks.",
            Unit.PER_S,
            rates("relay_jobs_events_total", "type"),
            stacked=True,
        ),
        graph(
            "Tasks sent and started",
            "Per second. `again`: the broker had delivered the task before, after a worker was lost.",
            Unit.PER_S,
            Query(rate("relay_jobs_tasks_sent_total"), "sent"),
            rates("relay_jobs_tasks_started_total", "delivery"),
        ),
        ratio(
            "Tasks that are done",
            "Share of the tasks that ended.",
            Query(f"{done} / {rate('relay_jobs_tasks_ended_total')}", "done"),
        ),
        graph(
            "Time of tasks, by name",
            "95th percentile, however they ended.",
            Unit.SECONDS,
            Query(quantile(0.95, "relay_jobs_run_seconds", "task"), "{{task}}"),
        ),
        graph(
            "Tasks not sent",
            "In each interval: the broker was away, or too many waited. A tick sends them later.",
            Unit.COUNT,
            failures("relay_jobs_tasks_unsent_total", "reason"),
        ),
        graph(
            "Events whose consequences failed",
            "Attempts in each interval; the event stays in the outbox, and is attempted again.",
            Unit.COUNT,
            increases("relay_jobs_dispatch_defects_total", "attempts"),
        ),
    )


def _webhooks() -> tuple[Panel, ...]:
    return (
        graph(
            "Attempts, by outcome",
            "Requests per second.",
            Unit.PER_S,
            rates("relay_jobs_webhook_attempts_total", "outcome"),
            stacked=True,
        ),
        graph(
            "Time of an attempt",
            "Until the answer of the endpoint, or the failure.",
            Unit.SECONDS,
            *quantiles("relay_jobs_webhook_attempt_seconds"),
        ),
        graph(
            "Attempts that wait",
            "Due deliveries in each interval whose endpoint has all its attempts running, rests after faults "
            "or had its share of a tick.",
            Unit.COUNT,
            increases_by("relay_jobs_webhook_postponed_total", "reason"),
            increases("relay_jobs_webhook_deferred_total", "deferred"),
        ),
        graph(
            "Endpoints",
            "Endpoints in use, and the times in each interval that their file could not be used.",
            Unit.COUNT,
            Query(_largest("relay_jobs_webhook_endpoints"), "endpoints"),
            increases("relay_jobs_webhook_endpoint_failures_total", "file not usable"),
        ),
    )


def _recordings() -> tuple[Panel, ...]:
    return (
        graph(
            "Copied frames",
            "Bytes per second that workers have copied into recordings.",
            Unit.BYTES_PER_S,
            Query(rate("relay_jobs_recording_bytes_total"), "copied"),
        ),
        graph(
            "Recordings finished and removed",
            "In each interval: files that are whole, and files removed past their days.",
            Unit.COUNT,
            increases("relay_jobs_recordings_finished_total", "finished"),
            increases("relay_jobs_recording_files_removed_total", "removed"),
        ),
        graph(
            "Failures of recordings",
            "Attempts in each interval to copy, finish or remove; another follows.",
            Unit.COUNT,
            failures("relay_jobs_recording_failures_total", "step"),
        ),
        graph(
            "Clips rendered, by outcome",
            "Attempts in each interval.",
            Unit.COUNT,
            increases_by("relay_jobs_clips_rendered_total", "outcome"),
        ),
        graph(
            "Copies of clips",
            "In each interval. `failed`: the storage refuses them; clips would not survive a loss of Redis's "
            "data; `restored`: they have.",
            Unit.COUNT,
            increases_by("relay_jobs_clip_copies_total", "what"),
        ),
        graph(
            "Time to render a clip",
            "From its claim to its storing.",
            Unit.SECONDS,
            *quantiles("relay_jobs_clip_render_seconds"),
        ),
    )


def _upkeep() -> tuple[Panel, ...]:
    return (
        graph(
            "Accounts settled",
            "In each interval, by what was counted. `estimate`: the worker of a Motion session was killed.",
            Unit.COUNT,
            increases_by("relay_jobs_usage_settled_total", "kind"),
        ),
        graph(
            "Ended or removed by the reaper",
            "In each interval. `closed` that rises: backends do not end their conversations; `ended`: no "
            "worker ends them.",
            Unit.COUNT,
            failures("relay_jobs_reaped_total", "kind"),
        ),
        graph(
            "Keys that the reaper looks at",
            "Per second; 0 for longer than `RELAY_REAPER_S`: it does not run.",
            Unit.PER_S,
            Query(rate("relay_jobs_reaper_keys_total"), "keys"),
        ),
        graph(
            "Failures of usage and of the reaper",
            "In each interval; the next tick repeats the work.",
            Unit.COUNT,
            failures("relay_jobs_reaper_failures_total", "reason"),
            Query(growth("relay_jobs_usage_failures_total"), "usage"),
        ),
    )

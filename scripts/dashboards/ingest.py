"""Ingest and Motion sessions: whether speech becomes audio and motion."""

from scripts.dashboards.board import Board, Panel, Query, Row, Unit, graph, ratio, stat, traced
from scripts.dashboards.promql import (
    by_instance,
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
        uid="relay-ingest",
        title="Avatar Relay: ingest and Motion sessions",
        description="Does speech become audio and motion, and does every conversation have an owner?",
        rows=(
            Row("Is it healthy?", _health()),
            Row("Where is the lag?", _lag()),
            Row("How are the Motion sessions?", _motion()),
            Row("Who owns the conversations?", _owners()),
            Row("Saturation", _saturation()),
        ),
    )


def _health() -> tuple[Panel, ...]:
    return (
        stat(
            "Conversations",
            "Conversations that have an owner.",
            Unit.COUNT,
            Query(total("relay_ingest_conversations"), "owned"),
        ),
        stat(
            "Without an owner",
            "Conversations that wait for an owner, of the whole relay.",
            Unit.COUNT,
            Query(total("relay_ingest_unowned_conversations", aggregate="max"), "waiting"),
            steps={None: "green", 1: "orange"},
        ),
        stat(
            "Motion sessions",
            "Motion sessions open or opening: seats in use at the vendor.",
            Unit.COUNT,
            Query(total("relay_motion_sessions"), "open"),
        ),
        stat(
            "Credits",
            "Credits of the vendor's that ended Motion sessions of the time shown used.",
            Unit.COUNT,
            Query(growth("relay_motion_credits_total", window="$__range"), "used"),
        ),
        graph(
            "Turns that ended, by outcome",
            "Turns per second.",
            Unit.PER_S,
            rates("relay_ingest_turns_total", "outcome"),
            stacked=True,
        ),
        graph(
            "Exceptions, by place",
            "Unexpected exceptions in each interval; each ended one conversation. The log has the traceback.",
            Unit.COUNT,
            failures("relay_ingest_defects_total", "where"),
        ),
        graph(
            "Conversations that ended, by reason",
            "Conversations in each interval.",
            Unit.COUNT,
            failures("relay_ingest_ended_total", "reason"),
        ),
    )


def _lag() -> tuple[Panel, ...]:
    return (
        traced(
            "Up stream to the owner",
            "Age of an entry of the up stream when its owner handles it.",
            *quantiles("relay_ingest_uplink_seconds"),
        ),
        traced(
            "Speech to the first audio",
            "From storing a turn's first speech to appending its first audio frame.",
            *quantiles("relay_turn_first_audio_seconds"),
        ),
        traced(
            "First audio to the first motion",
            "How long after the first audio frame the first motion frame follows.",
            *quantiles("relay_ingest_first_motion_seconds"),
        ),
        traced(
            "Lead of motion over audio",
            "How far the media time of published motion is ahead of the time since the turn's first audio. "
            "Negative: motion is late, and the avatar freezes.",
            Query(quantile(0.01, "relay_motion_lead_seconds"), "p1"),
            Query(quantile(0.1, "relay_motion_lead_seconds"), "p10"),
            Query(quantile(0.5, "relay_motion_lead_seconds"), "p50"),
        ),
        traced(
            "Length of turns, by outcome",
            "95th percentile of the time from a turn's start to its end.",
            Query(quantile(0.95, "relay_ingest_turn_seconds", "outcome"), "{{outcome}}"),
        ),
        graph(
            "Oldest speech not handled",
            "Age of the oldest entry that was read and not handled, by worker; turns that wait for the one "
            "before are counted.",
            Unit.SECONDS,
            by_instance("relay_ingest_uplink_oldest_seconds"),
        ),
    )


def _motion() -> tuple[Panel, ...]:
    return (
        traced(
            "Opening a Motion session",
            "Token, connection and handshake, with repeated attempts.",
            *quantiles("relay_motion_open_seconds"),
        ),
        graph(
            "Motion failures",
            "Failures in each interval, by the vendor's code and the phase.",
            Unit.COUNT,
            failures("relay_motion_failures_total", "code", "phase"),
        ),
        graph(
            "Motion sessions, by worker",
            "Open or opening, by worker.",
            Unit.COUNT,
            by_instance("relay_motion_sessions"),
        ),
        graph(
            "Life of Motion sessions",
            "Median and 95th percentile of the connected time of sessions that ended.",
            Unit.SECONDS,
            Query(quantile(0.5, "relay_motion_session_seconds"), "p50"),
            Query(quantile(0.95, "relay_motion_session_seconds"), "p95"),
        ),
        graph(
            "What the vendor bills",
            "In each interval: credits of sessions that ended, and connected seconds.",
            Unit.COUNT,
            increases("relay_motion_credits_total", "credits"),
            increases("relay_motion_connected_seconds_total", "connected seconds"),
        ),
        graph(
            "Motion received",
            "Bytes of motion payloads per second.",
            Unit.BYTES_PER_S,
            Query(rate("relay_motion_payload_bytes_total"), "motion"),
        ),
    )


def _owners() -> tuple[Panel, ...]:
    return (
        graph(
            "Take-overs",
            "95th percentile of the time from the last renewal of a former owner to the first frame of the "
            "next.",
            Unit.SECONDS,
            Query(quantile(0.95, "relay_ingest_takeover_seconds"), "p95"),
        ),
        graph(
            "Claims",
            "Conversations in each interval: claimed, leases found expired, and put back into their queue.",
            Unit.COUNT,
            increases("relay_ingest_claimed_total", "claimed"),
            increases("relay_ingest_expired_total", "expired"),
            increases("relay_ingest_repaired_total", "put back"),
        ),
        graph(
            "Conversations given up",
            "Conversations in each interval that were handed over or ended.",
            Unit.COUNT,
            increases_by("relay_ingest_released_total", "how"),
        ),
        graph(
            "Conversations lost, by reason",
            "Conversations in each interval. `fenced`: another worker has it; `storeerror`: Redis refused a "
            "write.",
            Unit.COUNT,
            failures("relay_ingest_lost_total", "reason"),
        ),
        graph(
            "Failed operations on Redis",
            "Operations in each interval; each is repeated at the next occasion.",
            Unit.COUNT,
            failures("relay_ingest_store_failures_total", "operation"),
        ),
        graph(
            "Longest wait for an owner",
            "Of the conversations that have none.",
            Unit.SECONDS,
            Query(total("relay_ingest_unowned_seconds", aggregate="max"), "longest"),
        ),
    )


def _saturation() -> tuple[Panel, ...]:
    return (
        ratio(
            "Seats in use, by worker",
            "Conversations by capacity. At 100 % a worker claims none.",
            Query(
                f"{total('relay_ingest_conversations', 'instance')} / "
                f"{total('relay_ingest_capacity', 'instance')}",
                "{{instance}}",
            ),
        ),
        graph(
            "Frames published, by kind",
            "Frames per second appended and acknowledged.",
            Unit.PER_S,
            rates("relay_publish_frames_total", "kind"),
        ),
        graph(
            "Bytes published, by kind",
            "Bytes per second appended and acknowledged.",
            Unit.BYTES_PER_S,
            rates("relay_publish_bytes_total", "kind"),
        ),
        graph(
            "Frames that wait for Redis",
            "Bytes of frames that are not acknowledged yet, by worker. It grows when Redis is slow or away.",
            Unit.BYTES,
            by_instance("relay_publish_backlog_bytes"),
        ),
        graph(
            "Calls repeated and frames appended again",
            "In each interval: script calls that Redis could not run, and frames that it had lost.",
            Unit.COUNT,
            increases("relay_publish_retries_total", "calls repeated"),
            increases("relay_publish_retransmitted_total", "frames appended again"),
        ),
        graph(
            "Time since the last frame",
            "Since a worker's last acknowledged frame. It grows while nobody speaks; while turns are open "
            "it must not.",
            Unit.SECONDS,
            Query(
                f"time() - ({series('relay_ingest_published_timestamp_seconds')} > 0)",
                "{{instance}}",
            ),
        ),
        graph(
            "Events that agents did not take",
            "Events in each interval, by kind: the agent had not read them in time.",
            Unit.COUNT,
            failures("relay_agent_dropped_total", "event"),
        ),
        graph(
            "Agents stopped, by reason",
            "Agents in each interval that failed.",
            Unit.COUNT,
            failures("relay_agent_failures_total", "reason"),
        ),
        graph(
            "Speech of agents refused, by reason",
            "Speeches in each interval that were rejected, interrupted or cut.",
            Unit.COUNT,
            failures("relay_agent_rejected_total", "reason"),
        ),
    )

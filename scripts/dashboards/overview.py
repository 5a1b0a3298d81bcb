"""The overview: whether speech reaches the viewers, whole and in time."""

from scripts.dashboards.board import Board, Panel, Query, Row, Unit, graph, ratio, stat, traced
from scripts.dashboards.promql import burn, failures, growth, quantiles, rates, share_within, total

_WINDOWS = ("5m", "1h", "6h", "3d")
_BURNING = (
    "1 uses the whole budget up in 30 days. Above 14.4 over 1 h, or 6 over 6 h, somebody is paged; "
    "above 1 over 3 d is a ticket. Needs the recording rules."
)


def board() -> Board:
    """The dashboard."""
    return Board(
        uid="relay-overview",
        title="Avatar Relay: overview",
        description="Does speech reach the viewers, whole and in time?",
        rows=(
            Row("Is it healthy?", _health()),
            Row("Are the objectives met?", _objectives()),
            Row("Where is the lag?", _lag()),
            Row("How much goes through?", _traffic()),
        ),
    )


def _health() -> tuple[Panel, ...]:
    return (
        stat(
            "Processes",
            "Processes that are scraped, and how many of them take work. A process that drains is not ready.",
            Unit.COUNT,
            Query(total("relay_ready", aggregate="count"), "all"),
            Query(total("relay_ready"), "ready"),
        ),
        stat(
            "Conversations",
            "Conversations that have an owner.",
            Unit.COUNT,
            Query(total("relay_ingest_conversations"), "owned"),
        ),
        stat(
            "Without an owner",
            "Conversations that wait for an owner, of the whole relay. More than a few for more than a "
            "second: too few ingest workers, or they lost Redis.",
            Unit.COUNT,
            Query(total("relay_ingest_unowned_conversations", aggregate="max"), "waiting"),
            steps={None: "green", 1: "orange"},
        ),
        stat("Viewers", "Open viewer sockets.", Unit.COUNT, Query(total("relay_gateway_viewers"), "open")),
        graph(
            "Turns that ended, by outcome",
            "Turns per second. `failed` and `audio_only` are turns without all of their motion: look at "
            "Motion sessions.",
            Unit.PER_S,
            rates("relay_ingest_turns_total", "outcome"),
            stacked=True,
        ),
        graph(
            "Requests refused, by problem",
            "Refusals in each interval, of control and the gateways. `overloaded` and `no-owner` mean too "
            "little capacity, `store-unavailable` means Redis; the others are mostly the caller's.",
            Unit.COUNT,
            failures("relay_http_problems_total", "problem"),
        ),
        graph(
            "Viewers' sockets closed, by code",
            "Closes in each interval. `slow_consumer`: viewers that do not read fast enough; "
            "`store_unavailable`: Redis; `abnormal`: the connection broke.",
            Unit.COUNT,
            failures("relay_gateway_closes_total", "code"),
        ),
    )


def _objectives() -> tuple[Panel, ...]:
    met = (
        stat(
            "Delivered without interruption",
            "Turns that every live viewer got whole, of all turns delivered in the time shown. Objective: "
            "99.9 %.",
            Unit.RATIO,
            Query(_whole("$__range"), "whole"),
            steps=_steps(0.999),
        ),
        stat(
            "First audio within 0.5 s",
            "Turns whose first audio was written to the viewers within 0.5 s of the first speech, of all in "
            "the time shown. Objective: 99 %.",
            Unit.RATIO,
            Query(share_within("relay_gateway_first_audio_seconds", "0.5", "$__range"), "in time"),
            steps=_steps(0.99),
        ),
        stat(
            "Relayed within 0.05 s",
            "Batches of frames written to live viewers within 0.05 s of their publication, of all in the "
            "time shown. Objective: 99 %.",
            Unit.RATIO,
            Query(share_within("relay_gateway_latency_seconds", "0.05", "$__range"), "in time"),
            steps=_steps(0.99),
        ),
    )
    burning = (
        _burn(
            "Budget burn: delivery",
            "How fast the budget of interrupted turns is used up, by window.",
            "job:relay_gateway_turns_interrupted",
            0.999,
        ),
        _burn(
            "Budget burn: first audio",
            "How fast the budget of late first audio is used up, by window.",
            "job:relay_gateway_first_audio_late",
            0.99,
        ),
        _burn(
            "Budget burn: relay latency",
            "How fast the budget of late batches is used up, by window.",
            "job:relay_gateway_latency_late",
            0.99,
        ),
    )
    return met + burning


def _lag() -> tuple[Panel, ...]:
    return (
        traced(
            "First audio, end to end",
            "From storing a turn's first speech to writing its first audio to the viewers. Objective: 99 % "
            "within 0.5 s. When it is late, the dashboard of a turn's way names the hop.",
            *quantiles("relay_gateway_first_audio_seconds"),
        ),
        traced(
            "First motion, end to end",
            "From storing a turn's first speech to writing its first motion to the viewers. Most of it is "
            "Motion Server's time.",
            *quantiles("relay_gateway_first_motion_seconds"),
        ),
        traced(
            "Relay latency",
            "From the publication of a frame to writing it to live viewers; of each batch, its oldest frame. "
            "Objective: 99 % within 0.05 s.",
            *quantiles("relay_gateway_latency_seconds"),
        ),
        graph(
            "Longest waits now",
            "The oldest speech that an owner has read and not handled, and the longest wait of a "
            "conversation for an owner.",
            Unit.SECONDS,
            Query(total("relay_ingest_uplink_oldest_seconds", aggregate="max"), "speech"),
            Query(total("relay_ingest_unowned_seconds", aggregate="max"), "conversation without owner"),
        ),
        ratio(
            "Seats in use",
            "Conversations of the workers by their capacity. Near 100 %, new conversations find no owner: "
            "add workers.",
            Query(f"{total('relay_ingest_conversations')} / {total('relay_ingest_capacity')}", "in use"),
        ),
    )


def _traffic() -> tuple[Panel, ...]:
    return (
        graph(
            "Speech received, by source",
            "Bytes of speech per second.",
            Unit.BYTES_PER_S,
            rates("relay_speech_audio_bytes_total", "source"),
            stacked=True,
        ),
        graph(
            "Frames published, by kind",
            "Frames per second that owners appended.",
            Unit.PER_S,
            rates("relay_publish_frames_total", "kind"),
            stacked=True,
        ),
        graph(
            "Frames delivered, by kind",
            "Frames per second written to live viewers: published frames times viewers.",
            Unit.PER_S,
            rates("relay_gateway_deliveries_total", "kind"),
            stacked=True,
        ),
    )


def _whole(window: str) -> str:
    """The share of turns delivered whole."""
    metric = "relay_gateway_turns_total"
    whole = growth(metric, 'result="whole"', window)
    return f"{whole} / {growth(metric, window=window)}"


def _burn(title: str, what: str, recorded: str, target: float) -> Panel:
    """Burn rates from the recording rules that the alerts use."""
    queries = (Query(burn(f"{recorded}:ratio_rate{window}", target), window) for window in _WINDOWS)
    return graph(title, f"{what} {_BURNING}", Unit.COUNT, *queries)


def _steps(target: float) -> dict[float | None, str]:
    return {None: "red", target: "green"}

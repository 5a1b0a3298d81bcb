"""Grafana's JSON of a dashboard."""

import json
from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import quote

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from scripts.dashboards.board import Board, Kind, Panel, Query, Row

TAG = "avatar-relay"
_METRICS = DataSourceRef(type_val="prometheus", uid="${datasource}")
_ANY_PROCESS = "relay_build_info"
_COLUMNS = 24
_GRAPHS_A_LINE = 3
_HEIGHT = {Kind.GRAPH: 8, Kind.BARS: 8, Kind.STAT: 4}
_REFRESH = "10s"


def text(board: Board) -> str:
    """The file that Grafana loads."""
    return str(JSONEncoder(indent=2, sort_keys=True).encode(_dashboard(board).build())) + "\n"


def _dashboard(board: Board) -> dashboard.Dashboard:
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-30m", "now")
        .timezone("browser")
        .refresh(_REFRESH)
        .link(_links())
    )
    for variable in (_datasource(), _traces(), _label("job"), _label("instance", '{job=~"$job"}')):
        made = made.with_variable(variable)
    number = 0
    for row in board.rows:
        number += 1
        made = made.with_row(dashboard.Row(row.title).id(number))
        for panel, span in _lines(row):
            number += 1
            made = made.with_panel(_panel(panel).id(number).span(span).height(_HEIGHT[panel.kind]))
    return made


def _links() -> dashboard.DashboardLink:
    """To the other dashboards, with the time and the variables."""
    return (
        dashboard.DashboardLink("Avatar Relay")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(True)
        .include_vars(True)
        .placement("")  # above the panels, not in a menu
    )


def _datasource() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _traces() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("traces").label("Traces").type("jaeger")


def _label(name: str, selector: str = "") -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(_METRICS)
        .query(f"label_values({_ANY_PROCESS}{selector}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _lines(row: Row) -> Iterator[tuple[Panel, int]]:
    """The panels of a row with their widths: present values on one line, graphs on lines of equal length."""
    stats = [panel for panel in row.panels if panel.kind is Kind.STAT]
    graphs = [panel for panel in row.panels if panel.kind is not Kind.STAT]
    count = -(-len(graphs) // _GRAPHS_A_LINE)
    starts = [len(graphs) * line // count for line in range(count)]
    for line in (stats, *(graphs[a:b] for a, b in zip(starts, [*starts[1:], len(graphs)], strict=True))):
        yield from zip(line, _spans(len(line)), strict=True)


def _spans(count: int) -> list[int]:
    """Widths that fill a line."""
    return [_COLUMNS * (index + 1) // count - _COLUMNS * index // count for index in range(count)]


_Made = TypeVar("_Made", timeseries.Panel, stat.Panel, bargauge.Panel)


def _panel(panel: Panel) -> timeseries.Panel | stat.Panel | bargauge.Panel:
    match panel.kind:
        case Kind.GRAPH:
            return _common(_graph(panel), panel)
        case Kind.STAT:
            return _common(_stat(), panel)
        case Kind.BARS:
            return _common(_bars(), panel)


def _common(made: _Made, panel: Panel) -> _Made:
    made = made.title(panel.title).description(panel.description).unit(panel.unit).datasource(_METRICS)
    if panel.steps:
        steps = [Threshold(value=value, color=colour) for value, colour in panel.steps.items()]
        made = made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    return made.targets([_target(index, query, panel) for index, query in enumerate(panel.queries)])


def _graph(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(10)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if panel.maximum is not None:
        made = made.max(panel.maximum)
    if panel.stacked:
        made = made.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    return made.data_links([_to_traces()]) if panel.exemplars else made


def _stat() -> stat.Panel:
    return (
        stat.Panel()
        .graph_mode(BigValueGraphMode.AREA)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _bars() -> bargauge.Panel:
    return (
        bargauge.Panel()
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _target(index: int, query: Query, panel: Panel) -> prometheus.Dataquery:
    made = (
        prometheus.Dataquery()
        .ref_id(chr(ord("A") + index))
        .datasource(_METRICS)
        .expr(query.expr)
        .legend_format(query.legend or panel.title)
        .range()
    )
    return made.exemplar(True) if panel.exemplars else made


def _to_traces() -> dashboard.DashboardLink:
    """The turns that were traced in the time that the dashboard shows."""
    search = {"refId": "A", "queryType": "search", "service": "avatar-relay-ingest"}
    pane = {"datasource": "${traces}", "queries": [search], "range": {"from": "${__from}", "to": "${__to}"}}
    panes = quote(json.dumps({"traces": pane}, separators=(",", ":")), safe="${}:,_")
    return (
        dashboard.DashboardLink("Traces of this time")
        .url(f"/explore?schemaVersion=1&panes={panes}")
        .target_blank(True)
    )

"""A `Board` in Grafana's own types."""

import json
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode, LegendDisplayMode, StackingMode, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableOption, VariableRefresh

from dashboards.board import Board, Chart, Choice

COLUMNS: Final = 24
"""Of Grafana's grid."""
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")


def as_json(board: Board) -> str:
    """The dashboard's file, equal bytes for an equal board."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(f"parkade-{board.name}")
        .description(board.says)
        .tags(["parkade"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for choice in board.choices:
        built.with_variable(_variable(choice))
    for row in board.rows:
        built.with_row(dashboard.Row(row.title))
        for index, chart in enumerate(row.charts):
            built.with_panel(_panel(chart, _width(index, row.charts)))
    return json.dumps(built.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _width(index: int, charts: tuple[Chart, ...]) -> int:
    """Numbers share one line; other panels are two a line, the last alone takes it whole."""
    if charts[0].kind == "number":
        return COLUMNS // len(charts)
    alone = index == len(charts) - 1 and index % 2 == 0
    return COLUMNS if alone else COLUMNS // 2


def _variable(choice: Choice) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(choice.name)
        .label(choice.name.capitalize())
        .datasource(_SOURCE)
        .query(choice.query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(VariableOption(text="All", value="$__all", selected=True))
    )


def _panel(chart: Chart, width: int) -> stat.Panel | timeseries.Panel:
    panel: stat.Panel | timeseries.Panel
    if chart.kind == "number":
        newest = common.ReduceDataOptions().calcs(["lastNotNull"])
        panel = stat.Panel().graph_mode(BigValueGraphMode.AREA).reduce_options(newest).height(4)
    else:
        shown = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(show_legend=True)
        panel = timeseries.Panel().legend(shown).height(8)
        panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        if chart.kind == "stacked":
            panel.fill_opacity(40).stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    panel.title(chart.title).description(chart.says).unit(chart.unit).span(width).datasource(_SOURCE)
    for index, query in enumerate(chart.queries):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).datasource(_SOURCE)
        panel.with_target(target.range().ref_id(chr(ord("A") + index)))
    return panel

"""From a board as data to Grafana's own schema, through Grafana's own library. Nothing else here knows either."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models

from deploy.alerts.panels import PANELS, Panel

from .marks import chaos_annotations
from .view import GOOD, Board, Kind, Marks, View

PROMETHEUS: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "chappe"
WIDE: Final = 10  # from this width on a legend stands beside its lines

PanelBuilder = timeseries.Panel | stat.Panel | bargauge.Panel


def built(board: Board, runbook: str) -> models.Dashboard:
    """Return a dashboard whose panels lead to sections of `runbook`."""
    result = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([TAG])
        .timezone("browser")
        .time("now-3h", "now")
        .refresh("30s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Chappe")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("node", "Node", "label_values(chappe_connections, node)"))
        .with_variable(
            _variable("worker", "Worker", 'label_values(process_start_time_seconds{node=~"$node"}, worker)')
        )
    )
    if board.is_marked:
        result.annotations(chaos_annotations(PROMETHEUS))
    for row in board.rows:
        result.with_row(dashboard.Row(row.title))
        for view in row.views:
            result.with_panel(_panel(view, alerts_of(board.uid, view.id), runbook))
    return result.build()


def alerts_of(uid: str, panel: int) -> list[str]:
    """Return the names of the alerts that lead to a panel."""
    return [name for name, where in PANELS.items() if where == Panel(uid, panel)]


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(PROMETHEUS)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def _panel(view: View, alerts: list[str], runbook: str) -> PanelBuilder:
    panel = _of_kind(view)
    panel.id(view.id).title(view.title).description(view.about).datasource(PROMETHEUS)
    panel.height(view.height).span(view.width).unit(view.scale.unit)
    for letter, query in zip("ABCDEFGH", view.queries, strict=False):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
        panel.with_target(target.instant() if query.at_end else target.range())
    if view.scale.least is not None:
        panel.min(view.scale.least)
    if view.scale.most is not None:
        panel.max(view.scale.most)
    if view.scale.decimals is not None:
        panel.decimals(view.scale.decimals)
    if view.empty is not None:
        panel.no_value(view.empty)
    if view.marks is not None:
        panel.thresholds(_thresholds(view.marks, isinstance(panel, timeseries.Panel)))
    for name, colour in view.colours.items():
        value = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_name(name, [models.DynamicConfigValue(id_val="color", value=value)])
    return panel.links([_to_runbook(name, runbook) for name in alerts])


def _to_runbook(alert: str, runbook: str) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink(f"Runbook: {alert}")
        .type(models.DashboardLinkType.LINK)
        .url(f"{runbook}#{alert.lower()}")
        .target_blank(True)
    )


def _of_kind(view: View) -> PanelBuilder:
    match view.kind:
        case Kind.NUMBERS:
            return (
                stat.Panel()
                .graph_mode(shapes.BigValueGraphMode.NONE)
                .color_mode(shapes.BigValueColorMode.VALUE)
                .reduce_options(_latest())
                .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
            )
        case Kind.BARS:
            return (
                bargauge.Panel()
                .display_mode(shapes.BarGaugeDisplayMode.GRADIENT)
                .orientation(shapes.VizOrientation.HORIZONTAL)
                .name_placement(shapes.BarGaugeNamePlacement.TOP)
                .reduce_options(_latest())
                .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.CONTINUOUS_GR_YL_RD))
            )
        case Kind.LINES | Kind.STACK | Kind.STEPS:
            return _lines(view)


def _lines(view: View) -> timeseries.Panel:
    beside = view.width >= WIDE
    panel = (
        timeseries.Panel()
        .line_width(2 if view.kind is Kind.STEPS else 1)
        .fill_opacity(30 if view.kind is Kind.STACK else 0)
        .show_points(shapes.VisibilityMode.NEVER)
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
        .tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(shapes.LegendDisplayMode.TABLE if beside else shapes.LegendDisplayMode.LIST)
            .placement(shapes.LegendPlacement.RIGHT if beside else shapes.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"] if beside else [])
        )
    )
    if view.kind is Kind.STACK:
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    if view.kind is Kind.STEPS:
        panel.line_interpolation(shapes.LineInterpolation.STEP_AFTER)
    if view.marks is not None:
        style = common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(style)
    if view.scale.soft_most is not None:
        panel.axis_soft_max(view.scale.soft_most)
    return panel


def _latest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _thresholds(marks: Marks, behind_lines: bool) -> dashboard.ThresholdsConfig:
    good = "transparent" if behind_lines else "green"
    steps: list[tuple[Any, str]] = [(None, marks.base), *marks.steps]
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps(
            [
                models.Threshold(value=value, color=good if colour == GOOD else colour)
                for value, colour in steps
            ]
        )
    )

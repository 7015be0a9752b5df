"""When a chaos scenario ran: drawn as a band over every panel of a dashboard that asks for it.

Two sources. `chappe_chaos_scenario{scenario="..."}` is 1 while one runs: whoever runs it has a target for Prometheus
(`chaos/announce.py`), which keeps that for as long as what it explains. And whatever somebody marked in Grafana, by
hand or by its API, with the tag `chaos`.
"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

SCENARIO: Final = "chappe_chaos_scenario"
RUNNING: Final = f"max by (scenario) ({SCENARIO}) > 0"
TAG: Final = "chaos"


class _OfPrometheus(models.AnnotationQuery):
    """With the fields of Grafana's Prometheus plugin, which the library has no place for."""

    def to_json(self) -> dict[str, object]:
        more = {"titleFormat": "{{scenario}}", "textFormat": "", "tagKeys": "scenario", "step": "15s"}
        return super().to_json() | more


class _Scenarios(dashboard.AnnotationQuery):
    def __init__(self) -> None:
        self._internal = _OfPrometheus()


def chaos_annotations(source: models.DataSourceRef) -> list[Builder[models.AnnotationQuery]]:
    """Return both, the first asked of `source`."""
    of_grafana = models.DataSourceRef(type_val="grafana", uid="-- Grafana --")
    tagged = dashboard.AnnotationTarget().type("tags").tags([TAG]).match_any(True).limit(100)
    return [
        _Scenarios()
        .name("Chaos scenarios")
        .datasource(source)
        .enable(True)
        .icon_color("purple")
        .expr(RUNNING),
        dashboard.AnnotationQuery()
        .name("Marked by hand (tag chaos)")
        .datasource(of_grafana)
        .enable(True)
        .icon_color("orange")
        .target(tagged)
        .type("tags"),
    ]

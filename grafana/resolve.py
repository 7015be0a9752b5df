"""What Grafana puts in the place of a dashboard's variables, for whoever asks Prometheus without one."""

from __future__ import annotations

from typing import Final

SCRAPED_EVERY_S: Final = 15.0


def resolved(expr: str, *, step_s: float, span_s: float, scraped_s: float = SCRAPED_EVERY_S) -> str:
    """Return an expression over all nodes and workers, at a resolution and over a range in seconds.

    `$__rate_interval` is as in Grafana the larger of four scrapes and a step with one scrape.
    """
    interval_s = max(4 * scraped_s, step_s + scraped_s)
    values = {
        "$__rate_interval": f"{interval_s * 1000:.0f}ms",
        "$__range": f"{span_s * 1000:.0f}ms",
        "$node": ".*",
        "$worker": ".*",
    }
    for name, value in values.items():
        expr = expr.replace(name, value)
    return expr

"""Expressions that many panels share. All of them look at the nodes and workers that were chosen on top."""

from __future__ import annotations

from typing import Final

from .view import Query

HERE: Final = 'node=~"$node",worker=~"$worker"'
PROCESS: Final = "{{node}}/{{worker}}"


def series(metric: str, where: str = "") -> str:
    """Return a selector."""
    return f"{metric}{{{','.join(part for part in (HERE, where) if part)}}}"


def summed(inner: str, by: str = "", how: str = "sum") -> str:
    """Return an aggregation by some labels, or over all."""
    return f"{how} by ({by}) ({inner})" if by else f"{how}({inner})"


def now(metric: str, by: str = "", where: str = "", how: str = "sum") -> str:
    """Return what gauges say."""
    return summed(series(metric, where), by, how)


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Return how much a counter grows a second."""
    return summed(f"rate({series(metric, where)}[$__rate_interval])", by)


def grown(metric: str, by: str = "", where: str = "", over: str = "$__rate_interval") -> str:
    """Return by how much a counter grew."""
    return summed(f"increase({series(metric, where)}[{over}])", by)


def split(metric: str, by: str, where: str = "") -> tuple[Query, ...]:
    """Return what a counter grows by a second, in all, and for the labels with the most."""
    return (
        Query(f"{rate(metric, where=where)} or vector(0)", "all"),
        Query(f"topk(6, {rate(metric, by, where)} > 0)", f"{{{{{by}}}}}"),
    )


def quantile(share: float, histogram: str, by: str = "", where: str = "") -> str:
    """Return a quantile of a histogram."""
    labels = ", ".join(part for part in ("le", by) if part)
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', labels, where)})"


def quantiles(histogram: str, where: str = "") -> tuple[Query, ...]:
    """Return the median, and how long it takes for one in twenty and one in a hundred."""
    return tuple(
        Query(quantile(share, histogram, where=where), name)
        for share, name in ((0.5, "median"), (0.95, "95%"), (0.99, "99%"))
    )

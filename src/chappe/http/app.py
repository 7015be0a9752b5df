"""The operators' endpoints, as a starlette application on hypercorn's trio worker.

`/metrics` for Prometheus and `/targets` for its service discovery, `/healthz` (this process answers), `/readyz` (it can
do its work: 503 and the reasons if not), `/tree` (the live supervision tree, text or `?format=json`, of each supervisor
at most `?children=20`, those that do not run as they should among them). No secrets, no message content; keep it off
the public network all the same, it says how busy the node is. The parent of a fleet makes its pages
(`fleet/endpoints.py`) of the same pieces.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import hypercorn.config
import hypercorn.trio
import trio
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from supervisors import Node as TreeNode
from supervisors import Supervisor

MOST_CHILDREN: Final = 1_000

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Insight:
    """What the endpoints show. `problems` returns why the node is not ready, an empty list when it is; `tree` the live
    tree, of each supervisor at most so many children. `crash` makes a child crash by its path; None, as it should be,
    and there is no page for it (`chaos.py`).
    """

    registry: CollectorRegistry
    problems: Callable[[], Awaitable[list[str]]]
    tree: Callable[[int], TreeNode]
    node: str
    breakable: Callable[[], Supervisor] | None = None


def application(insight: Insight) -> Starlette:
    """Return the application of a node."""

    async def readyz(_request: Request) -> Response:
        problems = await insight.problems()
        if problems:
            return PlainTextResponse("".join(f"{problem}\n" for problem in problems), status_code=503)
        return PlainTextResponse("ready\n")

    async def tree(most: int) -> TreeNode:
        return insight.tree(most)

    routes = [
        Route("/metrics", metrics_page(insight.registry)),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/tree", tree_page(tree)),
        Route("/targets", targets_page(insight.node, lambda: {"node": "/metrics"})),
    ]
    if insight.breakable is not None:
        from .chaos import chaos_routes  # noqa: PLC0415 - nothing that production ever loads

        routes += chaos_routes(insight.breakable())
    return Starlette(routes=routes)


async def healthz(_request: Request) -> Response:
    """Answer that this process answers."""
    return PlainTextResponse("ok\n")


def metrics_page(registry: CollectorRegistry) -> Endpoint:
    """Return the endpoint that prints these metrics."""

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return metrics


def targets_page(node: str, find: Callable[[], dict[str, str]]) -> Endpoint:
    """Return the endpoint that tells Prometheus what to scrape: `find` returns paths by the worker's name.

    All of it is at the address at which it was asked, so that address needs to be known nowhere else.
    Format: https://prometheus.io/docs/prometheus/latest/http_sd/
    """

    async def targets(request: Request) -> Response:
        return JSONResponse(
            [
                {
                    "targets": [request.url.netloc],
                    "labels": {"__metrics_path__": path, "node": node, "worker": worker},
                }
                for worker, path in find().items()
            ]
        )

    return targets


def tree_page(draw: Callable[[int], Awaitable[TreeNode]]) -> Endpoint:
    """Return the endpoint that shows a tree, which `draw` gets with at most so many children of each supervisor."""

    async def tree(request: Request) -> Response:
        form, most = request.query_params.get("format", "text"), request.query_params.get("children", "20")
        if form not in {"text", "json"}:
            return PlainTextResponse("The format is text or json.\n", status_code=400)
        if not (most.isascii() and most.isdigit() and 1 <= int(most[:9]) <= MOST_CHILDREN):
            return PlainTextResponse(f"children is a number from 1 to {MOST_CHILDREN}.\n", status_code=400)
        node = await draw(int(most))
        if form == "json":
            return JSONResponse(node.to_dict())
        return PlainTextResponse(node.to_text(most_children=int(most)) + "\n")

    return tree


async def serve_http(
    socket: trio.SocketListener,
    insight: Insight,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a node's endpoints until cancelled."""
    await serve_application(socket, application(insight), task_status=task_status)


async def serve_application(
    socket: trio.SocketListener,
    pages: Starlette,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, on a copy of a socket that listens, so that a restart finds the port still ours."""
    config = hypercorn.config.Config()
    config.bind = [f"fd://{os.dup(socket.socket.fileno())}"]
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = 1.0
    # Its annotation wants a function of its own TypedDicts; starlette's takes any mapping.
    await hypercorn.trio.serve(pages, config, task_status=task_status)  # type: ignore[arg-type]

"""The operators' endpoints, as a starlette application on hypercorn's trio worker.

`/metrics` for Prometheus, `/healthz` (this process answers), `/readyz` (it can do its work: 503 and the reasons if
not), `/tree` (the live supervision tree, text or `?format=json`). No secrets, no message content; keep it off the
public network all the same, it says how busy the node is.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import hypercorn.config
import hypercorn.trio
import trio
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from supervisors import Node as TreeNode


@dataclass(frozen=True, slots=True)
class Insight:
    """What the endpoints show. `problems` returns why the node is not ready, an empty list when it is."""

    registry: CollectorRegistry
    problems: Callable[[], Awaitable[list[str]]]
    tree: Callable[[], TreeNode]


def application(insight: Insight) -> Starlette:
    """Return the application."""

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(insight.registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        problems = await insight.problems()
        if problems:
            return PlainTextResponse("".join(f"{problem}\n" for problem in problems), status_code=503)
        return PlainTextResponse("ready\n")

    async def tree(request: Request) -> Response:
        snapshot = insight.tree()
        if request.query_params.get("format") == "json":
            return JSONResponse(snapshot.to_dict())
        return PlainTextResponse(snapshot.to_text() + "\n")

    return Starlette(
        routes=[Route(f"/{endpoint.__name__}", endpoint) for endpoint in (metrics, healthz, readyz, tree)]
    )


async def serve_http(
    socket: trio.SocketListener,
    insight: Insight,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, on a copy of a socket that listens, so that a restart finds the port still ours."""
    config = hypercorn.config.Config()
    config.bind = [f"fd://{os.dup(socket.socket.fileno())}"]
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = 1.0
    async with trio.open_nursery() as nursery:
        await nursery.start(hypercorn.trio.serve, application(insight), config)
        task_status.started()

"""What operators see of a fleet: its own tree and metrics, and what its workers say of themselves.

Every worker has endpoints of its own on a loopback port, which changes when it is restarted. `/tree`, `/readyz` and
`/metrics/<worker>` ask them, each with a deadline, so that one that hangs costs a moment and hides nobody. Nothing is
summed up on the way: `/targets` tells Prometheus, on whatever machine, of each worker, all at the parent's one address.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from typing import Final

import msgspec
import trio
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from supervisors import Node

from ..http.app import healthz, metrics_page, targets_page, tree_page
from .worker import Worker

ANSWER_WITHIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class View:
    """What the endpoints look at: metrics and tree of the parent, the workers, and what metrics call this node."""

    registry: CollectorRegistry
    snapshot: Callable[..., Node]
    workers: Callable[[], list[Worker]]
    node: str


def application(view: View) -> Starlette:
    """Return the application."""

    async def readyz(_request: Request) -> Response:
        answers = await ask_all(view.workers(), "/readyz")
        whys = {worker.name: _problem(worker, answer) for worker, answer in answers.items()}
        is_ready = not all(whys.values())  # also when there is none yet
        head = "ready\n" if is_ready else "No worker is ready.\n"
        lines = [f"{name}: {why}\n" for name, why in whys.items() if why]
        return PlainTextResponse(head + "".join(lines), status_code=200 if is_ready else 503)

    async def tree(most: int) -> Node:
        root = view.snapshot(most_children=most)
        answers = await ask_all(view.workers(), f"/tree?format=json&children={most}")
        inner = {worker.name: _trees(answer) for worker, answer in answers.items()}
        shown = (replace(child, children=inner.get(child.name, ())) for child in root.children)
        return replace(root, children=tuple(shown))

    def targets() -> dict[str, str]:
        serving = (worker.name for worker in view.workers() if worker.ready is not None)
        return {"parent": "/metrics"} | {name: f"/metrics/{name}" for name in serving}

    async def metrics(request: Request) -> Response:
        asked = [worker for worker in view.workers() if worker.name == request.path_params["worker"]]
        for answer in (await ask_all(asked, "/metrics")).values():
            if answer is not None and answer[0] == 200:
                return Response(answer[1], media_type=CONTENT_TYPE_LATEST)
        return PlainTextResponse("This worker does not answer.\n", status_code=502 if asked else 404)

    return Starlette(
        routes=[
            Route("/metrics", metrics_page(view.registry)),
            Route("/metrics/{worker}", metrics),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/tree", tree_page(tree)),
            Route("/targets", targets_page(view.node, targets)),
        ]
    )


Answer = tuple[int, bytes] | None
"""A status and a body; None of a worker that is not there or does not answer in time."""


async def ask_all(workers: list[Worker], path: str) -> dict[Worker, Answer]:
    """Ask all workers for a page, at the same time."""
    answers: dict[Worker, Answer] = dict.fromkeys(workers)

    async def ask(worker: Worker, port: int) -> None:
        with trio.move_on_after(ANSWER_WITHIN_S):
            answers[worker] = await trio.to_thread.run_sync(_get, port, path, abandon_on_cancel=True)

    async with trio.open_nursery() as nursery:
        for worker in workers:
            if worker.ready is not None:
                nursery.start_soon(ask, worker, worker.ready.http_port)
    return answers


def _get(port: int, path: str) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _problem(worker: Worker, answer: Answer) -> str:
    """Return why a worker is not ready, empty when it is."""
    if worker.ready is None:
        return "It does not run (yet)."
    if answer is None:
        return "It does not answer."
    status, body = answer
    return "" if status == 200 else " ".join(body.decode(errors="replace").split())


def _trees(answer: Answer) -> tuple[Node, ...]:
    """Return a worker's tree, if it told it."""
    return (
        (Node.from_dict(msgspec.json.decode(answer[1])),) if answer is not None and answer[0] == 200 else ()
    )

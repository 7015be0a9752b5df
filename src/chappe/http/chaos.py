"""Pages that crash a child of the live tree or have it hang: for chaos scenarios, only where `chaos.enabled` is set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from supervisors import NotFound, NotRunning, Supervisor
from supervisors.testing import crash, hang

MOST_HANG_S: Final = 60.0


def chaos_routes(supervisor: Supervisor) -> list[Route]:
    """Return the endpoints, for POST: `/chaos/crash?path=` and `/chaos/hang?path=&for_s=`, which answers when it is
    over. 404 when there is no such child or it does not run, 400 when it is to hang for more than a minute.
    """

    async def crash_page(request: Request) -> Response:
        path = request.query_params.get("path", "")
        crash(supervisor, path)
        return PlainTextResponse(f"{path} crashes\n")

    async def hang_page(request: Request) -> Response:
        path, for_s = request.query_params.get("path", ""), float(request.query_params.get("for_s", "nan"))
        if not 0 < for_s <= MOST_HANG_S:
            raise ValueError(f"for_s is to be seconds, more than 0 and at most {MOST_HANG_S:g}.")
        until = trio.Event()
        hang(supervisor, path, until)
        try:
            await trio.sleep(for_s)
        finally:
            until.set()
        return PlainTextResponse(f"{path} hung for {for_s:g} s\n")

    return [
        Route("/chaos/crash", _answering(crash_page), methods=["POST"]),
        Route("/chaos/hang", _answering(hang_page), methods=["POST"]),
    ]


def _answering(page: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await page(request)
        except (NotFound, NotRunning) as error:
            return PlainTextResponse(f"{error}\n", status_code=404)
        except ValueError as error:  # a path or a number that is none
            return PlainTextResponse(f"{error}\n", status_code=400)

    return answer

"""The page that crashes a child of the live tree: for the chaos scenarios, and only where `chaos.enabled` is set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from supervisors import NotFound, NotRunning


def crash_page(crash: Callable[[str], object]) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint: 200 when the child at `?path=` was made to crash, 404 when there is none that runs."""

    async def page(request: Request) -> Response:
        path = request.query_params.get("path", "")
        try:
            crash(path)
        except (NotFound, NotRunning) as error:
            return PlainTextResponse(f"{error}\n", status_code=404)
        return PlainTextResponse(f"{path} crashes\n")

    return page

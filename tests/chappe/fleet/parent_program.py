"""The parent of a fleet of stand-ins, as a process: `python parent_program.py FOLDER WORKERS SILENT_S STOP_S`.

Writes its ports to FOLDER/ports when it has them. Everything but what the workers are is as in `chappe serve`.
"""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from chappe.cli.exits import explain
from chappe.fleet.parent import Fleet, supervise
from chappe.fleet.worker import Job
from chappe.logs import configure
from chappe.settings import Log
from chappe.sockets import listen, reserve

STANDIN = Path(__file__).with_name("standin.py")


async def main(folder: Path, workers: int, silent_s: float, stop_s: float) -> None:
    async with AsyncExitStack() as stack:
        port = await reserve(stack, "127.0.0.1", 0)
        http, *_ = await listen(stack, "127.0.0.1", 0, 64)
        job = Job(
            [sys.executable, str(STANDIN), str(port), str(folder)], dict(os.environ), b"secret", silent_s
        )
        fleet = Fleet(workers, job, stop_s)
        (folder / "ports.new").write_text(f"{port} {http.socket.getsockname()[1]}")
        (folder / "ports.new").rename(folder / "ports")
        await supervise(fleet, http, "here")


if __name__ == "__main__":
    configure(Log())
    try:
        trio.run(main, Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
    except BaseException as error:
        end = explain(error)
        if end is None:
            raise
        print(end, file=sys.stderr)
        sys.exit(end.code)

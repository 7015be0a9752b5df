"""The command line of the pictures."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from deploy.services import STORES, Fleet, ServicesError

from ..ask import Range
from ..book import BOARDS
from ..resolve import SCRAPED_EVERY_S
from .data import everything
from .picture import Unable, build, draw
from .scene import scene
from .story import told

FOLDER = Path(__file__).parents[2] / "docs" / "dashboards"
EPILOG = """\
examples:
  python -m grafana.drawing                                            the pictures of docs/dashboards.md, in 6 minutes
  python -m grafana.drawing --keep /tmp/seen.json                      and keep what was seen
  python -m grafana.drawing --from /tmp/seen.json --only chappe-chaos  draw it again
  python -m grafana.drawing --prometheus http://127.0.0.1:9090 --hours 3 --into /tmp

Without --prometheus it starts PostgreSQL, Redis, Cassandra, a node of two workers, people who chat and a Prometheus,
breaks this and that, and stops it all again. It needs npm (the first time, 460 MB) and Chromium.

exit status: 0 done, 1 a picture did not come out, 2 wrong use, 3 this machine lacks something, 130 ended by Ctrl-C
"""


def main(words: list[str] | None = None) -> int:
    """Do what the words say; return the exit status."""
    options = _parser().parse_args(words)
    try:
        build()
        seen = _seen(options)
        if options.keep:
            options.keep.write_text(json.dumps(seen), encoding="utf-8")
        options.into.mkdir(parents=True, exist_ok=True)
        for uid in options.only or seen:
            tell(f"drawing {uid}")
            draw(seen[uid], options.into.absolute() / f"{uid}.png")
    except ServicesError as error:
        tell(f"drawing: {error}")
        return 3
    except Unable as error:
        tell(f"drawing: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def tell(text: str) -> None:
    """Write a line for the person at the terminal."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _seen(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    if options.source:
        found: dict[str, dict[str, Any]] = json.loads(options.source.read_text(encoding="utf-8"))
        return found
    if options.prometheus:
        span_s, end_s = options.hours * 3600, time.time()
        when = Range(end_s - span_s, end_s, max(SCRAPED_EVERY_S, span_s / 300), SCRAPED_EVERY_S)
        return everything(options.prometheus, when)
    # On a disk, and open to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="chappe-drawing-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        stores = Fleet(folder / "stores", report=tell)
        try:
            stores.up(STORES)
            return trio.run(_story, folder, stores)
        finally:
            stores.down(grace_s=0)


async def _story(folder: Path, stores: Fleet) -> dict[str, dict[str, Any]]:
    async with scene(folder, stores) as there:
        return everything(there.prometheus, await told(there, tell))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m grafana.drawing",
        description="Draw the dashboards with the components that Grafana itself is made of.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [board.uid for board in BOARDS]
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--prometheus", metavar="URL", help="one that watches nodes already")
    source.add_argument("--from", dest="source", type=Path, metavar="FILE", help="what --keep kept")
    parser.add_argument("--hours", type=float, default=3.0, help="of that Prometheus; default: %(default)s")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="write down what was seen, to draw it again"
    )
    parser.add_argument("--only", action="append", choices=names, metavar="UID", help=", ".join(names))
    parser.add_argument("--into", type=Path, default=FOLDER, metavar="FOLDER", help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The command line of the dashboards: where the runbook is in, files out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.alerts.rules import RUNBOOK

from .book import BOARDS, FOLDER, rendered

EPILOG = """\
examples:
  python -m grafana                                              what is in grafana/dashboards
  python -m grafana --runbook https://wiki.example/runbook --into /etc/grafana/chappe
  python -m grafana.drawing                                      the pictures of docs/dashboards.md

exit status: 0 done, 2 wrong use
"""


def main(words: list[str] | None = None) -> int:
    """Do what the words say; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m grafana",
        description="Write Chappe's dashboards as JSON, which Grafana 11.6 or later reads.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--runbook", default=RUNBOOK, metavar="URL", help="where panels lead to; default: %(default)s"
    )
    parser.add_argument("--into", type=Path, default=FOLDER, metavar="FOLDER", help="default: %(default)s")
    options = parser.parse_args(words)
    options.into.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        (options.into / f"{board.uid}.json").write_text(rendered(board, options.runbook), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

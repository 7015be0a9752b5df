"""The command line of the rules: a pace and links in, a file of rules out."""

from __future__ import annotations

import argparse
import sys

from .book import FILE, rendered
from .pace import Pace
from .rules import GRAFANA, RUNBOOK, Links

EPILOG = """\
examples:
  python -m deploy.alerts --write
  python -m deploy.alerts --runbook https://wiki.example/runbook --grafana https://grafana.example > rules.yml
  python -m deploy.alerts --pace 60 > fast.yml      an hour becomes a minute: scrape and evaluate every second

exit status: 0 done, 2 wrong use
"""


def main(words: list[str] | None = None) -> int:
    """Do what the words say; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.alerts",
        description="Write the rules for Prometheus: objectives, burn rates, causes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pace", type=_factor, default=1.0, metavar="N", help="N times faster than real (1)")
    parser.add_argument("--runbook", default=RUNBOOK, metavar="URL", help="default: %(default)s")
    parser.add_argument("--grafana", default=GRAFANA, metavar="URL", help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="into config/prometheus/rules.yml")
    options = parser.parse_args(words)
    text = rendered(Pace(options.pace), Links(options.runbook, options.grafana))
    if options.write:
        FILE.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


def _factor(text: str) -> float:
    factor = float(text)
    if not 1 <= factor <= 300:
        raise argparse.ArgumentTypeError("a pace is from 1 to 300, or windows would be shorter than a second")
    return factor


if __name__ == "__main__":
    sys.exit(main())

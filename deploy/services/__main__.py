"""The command line of the services: arguments in, progress to standard error, addresses to standard output."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from .errors import Misused, ServicesError
from .fleet import NAMES, STORES, Fleet, Wishes, default_folder
from .java import default_jars

ABOUT = """\
Real servers on this machine for development and tests: PostgreSQL, Redis, Cassandra; and, only if they are named,
Prometheus and Alertmanager to watch nodes with.

They listen on loopback only and keep data, log and pid in one folder. Every command may be repeated: `up` starts what
does not run and leaves the rest alone. They are for a machine whose users you trust: Redis and Cassandra ask nobody
for a password.
"""
EPILOG = f"""\
commands:
  up        start what does not run, wait until all of it answers, print the addresses
  down      stop what runs, keeping its data (--wipe: remove it, and the logs)
  restart   stop and start again, at the same ports
  status    print the addresses and what runs
  nodetool  run Cassandra's own tool against one node

examples:
  python -m deploy.services up
  python -m deploy.services up --only cassandra --cassandra-nodes 3
  python -m deploy.services restart --only redis
  python -m deploy.services status --json
  python -m deploy.services nodetool --node 2 status
  python -m deploy.services down --wipe
  python -m deploy.services up --only prometheus,alertmanager --scrape http://127.0.0.1:7401
  python -m deploy.services up --only prometheus,alertmanager --pace 60 --webhook http://127.0.0.1:9000

files:
  FOLDER/state.json      addresses and pids, as `status --json` prints them
  FOLDER/SERVICE/log     what the server said (Cassandra: FOLDER/cassandra/nodeN/log)
  {default_jars()}
                         Cassandra's jars, fetched once by Maven (--jars)

exit status:
  0    done; for status: everything asked for is ready
  1    for status: something is down or does not answer; nodetool: what it said
  2    the command line does not fit, or not what is in the folder
  3    this machine lacks something; the sentence says what to install
  4    a server did not start, or did not stop; the sentence names its log
  130  ended by Ctrl-C, 143 by SIGTERM; what this command had started is down again
"""


def main(words: list[str] | None = None) -> int:
    """Do what the words say; return the exit status."""
    options = _parser().parse_args(words)
    fleet = Fleet(
        options.folder,
        Wishes(
            dict(options.port),
            options.cassandra_nodes,
            options.jars,
            options.measured,
            options.scrape,
            options.pace,
            options.webhook,
        ),
        tell,
    )
    if options.only is None:
        # What watches is started by name only; what there is of it is shown and stopped with the rest.
        options.only = [
            name for name in NAMES if name in STORES or (options.run is not up and fleet[name].exists)
        ]
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return int(options.run(fleet, options) or 0)
    except ServicesError as error:
        tell(f"services: {error}")
        return error.code
    except KeyboardInterrupt:
        return 130


def tell(text: str) -> None:
    """Write a line for the person at the terminal."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def up(fleet: Fleet, options: argparse.Namespace) -> int:
    """`up`."""
    fleet.up(options.only)
    return show(fleet, options)


def down(fleet: Fleet, options: argparse.Namespace) -> None:
    """`down`."""
    fleet.down(options.only, wipe=options.wipe)


def restart(fleet: Fleet, options: argparse.Namespace) -> int:
    """`restart`."""
    fleet.restart(options.only)
    return show(fleet, options)


def show(fleet: Fleet, options: argparse.Namespace) -> int:
    """`status`."""
    status = fleet.status(options.only)
    if options.json:
        sys.stdout.write(json.dumps(status, indent=2) + "\n")
    else:
        for name in options.only:
            sys.stdout.write(f"{name:10} {_line(status.get(name))}\n")
    ready = [server["ready"] for service in status.values() for server in service["servers"]]
    return 0 if all(ready) and len(status) == len(options.only) else 1


def nodetool(fleet: Fleet, options: argparse.Namespace) -> NoReturn:
    """`nodetool`: becomes it, so that its exit status is ours."""
    if not (fleet.cassandra.exists and options.node <= len(fleet.cassandra.servers)):
        raise Misused(f"There is no node {options.node} in {fleet.folder}: bring Cassandra up first.")
    command = fleet.cassandra.nodetool(options.node, options.words)
    os.execv(command[0], command)  # noqa: S606 - there is no shell on purpose


def _line(service: dict[str, Any] | None) -> str:
    if service is None:
        return "never started here"
    url = service.get("url") or f"{','.join(service.get('contact_points', ()))} port {service.get('port')}"
    lost = [
        f"{server['name']} {'does not answer' if server['pid'] else 'is down'}"
        for server in service["servers"]
        if not server["ready"]
    ]
    return f"{url}  ({', '.join(lost)})" if lost else url


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.services",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", help="see below")
    for run in (up, down, restart, show, nodetool):
        command = commands.add_parser("status" if run is show else run.__name__)
        command.set_defaults(
            run=run,
            only=None,
            cassandra_nodes=None,
            port=[],
            measured=False,
            scrape=[],
            pace=None,
            webhook=None,
        )
        command.add_argument(
            "--folder", type=Path, default=default_folder(), metavar="PATH", help="default: %(default)s"
        )
        command.add_argument(
            "--jars", type=Path, default=default_jars(), metavar="PATH", help="default: %(default)s"
        )
        if run is nodetool:
            command.add_argument("--node", type=int, choices=(1, 2, 3), default=1)
            command.add_argument("words", nargs=argparse.REMAINDER, metavar="WORDS")
            continue
        command.add_argument(
            "--only", type=_names, metavar="NAMES", help=f"some of {','.join(NAMES)}; default: the stores"
        )
        if run is not down:
            command.add_argument("--json", action="store_true", help="print for programs")
        if run is up:
            command.add_argument(
                "--cassandra-nodes", type=int, choices=(1, 3), help="default: what is there, else 1"
            )
            command.add_argument(
                "--port",
                type=_port,
                action="append",
                metavar="NAME=PORT",
                help="default: a free one, kept for later",
            )
            command.add_argument(
                "--scrape",
                type=_url,
                action="append",
                metavar="URL",
                help="a node's endpoints for Prometheus; default: what it had, else http://127.0.0.1:7401",
            )
            command.add_argument(
                "--pace", type=_pace, metavar="N", help="N times faster rules (60: an hour is a minute)"
            )
            command.add_argument(
                "--webhook",
                type=_url,
                metavar="URL",
                help="who hears of alerts, at URL/pages and URL/tickets",
            )
        if run in {up, restart}:
            command.add_argument(
                "--measured",
                action="store_true",
                help="run Cassandra with the JVM's defaults: slower to start, fit to measure",
            )
        if run is down:
            command.add_argument("--wipe", action="store_true", help="remove data and logs too")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in NAMES]:
        raise argparse.ArgumentTypeError(f"no service is called {unknown[0]!r}; there are {', '.join(NAMES)}")
    return names


def _port(text: str) -> tuple[str, int]:
    name, _, port = text.partition("=")
    if name not in NAMES or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not like postgres=5433")
    return name, int(port)


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is not like http://127.0.0.1:7401")
    return text


def _pace(text: str) -> float:
    if not (text.isdigit() and 1 <= int(text) <= 300):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 300")
    return int(text)


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())

"""`chappe serve --workers 2` on stores of one test, and what its processes say of themselves.

A test module imports the fixtures `server`, `config` and `services` from here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from chaos.stack.node import CONFIG, Node, serving, until
from tests.services import Services, services
from tests.system.shared import Sections, shared_stores, to_toml

__all__ = ["services"]


@pytest.fixture
def config(services: Services) -> Iterator[str]:
    """The settings of two workers on stores of this test's own."""
    more: Sections = {"gateway": {"workers": 2}, "log": {"format": "json"}}
    timing = "drain_s = 5.0\nworker_silent_s = 10.0\n"  # goes on with the last section of CONFIG
    with shared_stores(services, "chappe_workers") as sections:
        yield CONFIG + timing + to_toml(sections | more)


@pytest.fixture
async def server(config: str, tmp_path: Path) -> AsyncIterator[Node]:
    """Run two workers."""
    async with serving(tmp_path / "server", config=config) as running:
        await ready(running)
        yield running
        if running.process is not None and running.process.poll() is None:
            assert await running.stop() == 0


def endpoints(server: Node) -> dict[str, str]:
    """Return where the metrics of each process are, the parent among them, as Prometheus would find them."""
    with urlopen(f"http://127.0.0.1:{server.http_port}/targets") as page:
        return {
            one["labels"]["worker"]: one["targets"][0] + one["labels"]["__metrics_path__"]
            for one in json.load(page)
        }


def labels(server: Node) -> list[dict[str, str]]:
    """Return what Prometheus is to call them."""
    with urlopen(f"http://127.0.0.1:{server.http_port}/targets") as page:
        return [
            {key: value for key, value in one["labels"].items() if not key.startswith("__")}
            for one in json.load(page)
        ]


async def ready(server: Node) -> None:
    await until(lambda: len(endpoints(server)) == 3, "two workers serve")


def counted(server: Node, sample: str) -> dict[str, float]:
    """Return what each process says of a metric, here with its labels; those that do not have it are left out."""
    found = {}
    for name, address in endpoints(server).items():
        with urlopen(f"http://{address}") as page:
            for line in page.read().decode().splitlines():
                if line.startswith(f"{sample} "):
                    found[name] = float(line.rpartition(" ")[2])
    return found


def online(server: Node) -> dict[str, float]:
    """Return how many devices each worker has."""
    return counted(server, "chappe_devices_online")


@dataclass
class Port:
    """What raw clients need of a node."""

    gateway_port: int


class Codes(dict[str, str]):
    """Verification codes, as the server prints them."""

    def __init__(self, server: Node) -> None:
        super().__init__()
        self._server = server

    def __missing__(self, phone: str) -> str:
        return self._server.printed.rpartition(f"verification code for {phone}: ")[2].split()[0]

"""Hosts for servers: network namespaces with lines to a switch of their own, and one line from there to this machine.

A host has one address, and routes to nothing but the others and this machine; no packet leaves. The switch, a bridge,
has a namespace too, so that whatever `faults/hosts.py` does to the lines is done in there. Deleting the namespaces
takes everything away, the machine's end of its line with them. Needs root, iproute2, nftables.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final, Self

from deploy.services.errors import Unavailable
from deploy.services.service import is_root, run

MACHINE: Final = "machine"
"""The switch's end of the line to this machine. The ends of the others are called as their hosts."""

LINE: Final = "eth0"
"""A host's end of its line."""

TRIES: Final = 1_000
PACKAGES: Final = {"ip": "iproute2", "tc": "iproute2", "nft": "nftables", "nsenter": "util-linux"}
TRIAL: Final = """
ip link add one type veth peer name two
ip link add name switch type bridge
tc qdisc add dev one root tbf rate 1mbit burst 32kb latency 50ms
nft 'table bridge trial { chain drops { type filter hook forward priority 0; numgen random mod 100 < 1 drop; }; }'
"""


def check() -> None:
    """Return if hosts can be made and cut off on this machine. Raises: `Unavailable`."""
    if not is_root():
        raise Unavailable("Hosts in network namespaces need root.")
    for program, package in PACKAGES.items():
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed; on Debian: apt-get install {package}.")
    run(["unshare", "--net", "sh", "-ec", TRIAL], "Trying out network namespaces")


@dataclass(frozen=True)
class Network:
    """So many hosts and their switch. `namespaces` is what has to be deleted after `make`, which blocks."""

    switch: str
    addresses: IPv4Network
    size: int

    @classmethod
    def unused(cls, size: int) -> Self:
        """Choose a name, and private addresses that this machine has no route to. Nothing is made yet.

        Raises: `Unavailable`.
        """
        return cls(f"chappe-{secrets.token_hex(3)}", _without_route(), size)

    @property
    def hosts(self) -> dict[str, str]:
        """The hosts' namespaces by address."""
        return {str(self.addresses[10 + n]): f"{self.switch}-{n}" for n in range(1, self.size + 1)}

    @property
    def namespaces(self) -> list[str]:
        """The switch's and the hosts'."""
        return [self.switch, *self.hosts.values()]

    def make(self) -> None:
        """Make everything. Raises: `Unavailable`."""
        for namespace in self.namespaces:
            _ip("netns", "add", namespace)
        _ip("-n", self.switch, "link", "add", "name", "switch", "type", "bridge")
        _ip("-n", self.switch, "link", "set", "switch", "up")
        self._draw(MACHINE, self.switch, str(os.getpid()))
        _turn_on(str(self.addresses[1]), self.switch)
        for address, host in self.hosts.items():
            self._draw(host, LINE, host)
            _turn_on(address, LINE, "-n", host)
            _ip("-n", host, "link", "set", "lo", "up")

    def _draw(self, port: str, end: str, where: str) -> None:
        """Draw a line from a port of the switch to an end in another namespace, which is named or a process's."""
        line = ("type", "veth", "peer", "name", end, "netns", where)
        _ip("-n", self.switch, "link", "add", "name", port, *line)
        _ip("-n", self.switch, "link", "set", port, "master", "switch", "up")


def switch_of(host: str) -> str:
    """Return the namespace of the switch that a host has its line to."""
    return host.rpartition("-")[0]


def _turn_on(address: str, end: str, *namespace: str) -> None:
    _ip(*namespace, "address", "add", f"{address}/24", "dev", end)
    _ip(*namespace, "link", "set", end, "up")


def _ip(*words: str) -> str:
    return run(["ip", *words], f"ip {' '.join(words)}")


def _without_route() -> IPv4Network:
    routes = json.loads(_ip("-json", "-4", "route", "show", "table", "all"))
    used = [IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]
    for _ in range(TRIES):
        block = IPv4Network(f"10.{random.randrange(256)}.{random.randrange(256)}.0/24")
        if not any(map(block.overlaps, used)):
            return block
    raise Unavailable("This machine has routes to all of 10.0.0.0/8, so that no address is free for hosts.")

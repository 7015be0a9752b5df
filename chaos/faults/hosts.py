"""The lines of Cassandra's hosts: cut, lossy, thin, by rules and queues in namespaces of the run: `stack.hosts`.

Both directions suffer, and nothing is closed: packets do not arrive, as when somebody pulls a plug.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from deploy.services import Server

from ..lab import Lab
from ..stack.hosts import LINE, MACHINE, switch_of
from ..undo import InNamespace


@asynccontextmanager
async def cut_from_peers(lab: Lab, server: Server) -> AsyncIterator[None]:
    """The other hosts are out of reach; nodes reach it, and it them."""
    lab.say(f"{server.name} is cut off from its peers")
    async with _dropping(lab, server, "peers", f'{{other}} != "{MACHINE}"'):
        yield


@asynccontextmanager
async def cut_off(lab: Lab, server: Server) -> AsyncIterator[None]:
    """Nobody reaches it, and it nobody."""
    lab.say(f"{server.name} is cut off from everybody")
    async with _dropping(lab, server, "all", ""):
        yield


@asynccontextmanager
async def lossy(lab: Lab, server: Server, percent: int) -> AsyncIterator[None]:
    """So many of a hundred packets are lost, each way, whoever they are from and for."""
    lab.say(f"{server.name} loses {percent}% of all packets")
    async with _dropping(lab, server, "loss", f"numgen random mod 100 < {percent}"):
        yield


@asynccontextmanager
async def thin(lab: Lab, server: Server, kbit_per_s: int) -> AsyncIterator[None]:
    """The line carries so much each way; more waits, and is lost when it would wait longer than 0.4 s."""
    lab.say(f"{server.name} has a line of {kbit_per_s} kbit/s")
    host = _host(lab, server)
    filter_ = ("tbf", "rate", f"{kbit_per_s}kbit", "burst", "16kb", "latency", "400ms")
    async with AsyncExitStack() as stack:
        for namespace, end in ((switch_of(host), host), (host, LINE)):
            queue = ("tc", "qdisc", "replace", "dev", end, "root")
            await stack.enter_async_context(
                _changed(lab, namespace, (*queue, *filter_), undo=(*queue, "noqueue"))
            )
        yield


def _host(lab: Lab, server: Server) -> str:
    cassandra = lab.fleet.cassandra
    return list(cassandra.namespaces.values())[cassandra.servers.index(server)]


@asynccontextmanager
async def _dropping(lab: Lab, server: Server, name: str, matching: str) -> AsyncIterator[None]:
    """Drop the packets from and to a host that match; `{other}` stands for where they go or come from."""
    host = _host(lab, server)
    table = f"bridge {name}-{host}"
    rules = [
        f'{own} "{host}" {matching.format(other=other)} drop;'
        for own, other in (("iifname", "oifname"), ("oifname", "iifname"))
    ]
    chain = f"chain drops {{ type filter hook forward priority 0; {' '.join(rules)} }}"
    gone = f"add table {table}; delete table {table}"  # no error when it is gone
    switch = switch_of(host)
    async with _changed(lab, switch, ("nft", f"table {table} {{ {chain}; }}"), undo=("nft", gone)):
        yield


@asynccontextmanager
async def _changed(
    lab: Lab, namespace: str, command: Sequence[str], *, undo: Sequence[str]
) -> AsyncIterator[None]:
    async with lab.undoing(InNamespace(namespace, tuple(undo))):
        argv = ["ip", "netns", "exec", namespace, *command]
        await trio.run_process(argv, capture_stdout=True, capture_stderr=True)
        yield

"""Processes that die, freeze or stop: nodes, workers, and the servers around them."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import astuple

import trio

from deploy.services import WATCHERS, Identity, Server

from ..lab import Lab
from ..stack.node import Node
from ..stack.stack import ready
from ..undo import Thaw, Up


@asynccontextmanager
async def killed(lab: Lab, node: Node) -> AsyncIterator[None]:
    """A node dies at once, with all its workers; at the end it is started again on its data."""
    lab.say(f"SIGKILL to {node.folder.name}")
    await node.kill()
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await node.start()
            await ready(node)


@asynccontextmanager
async def frozen(lab: Lab, pid: int, what: str) -> AsyncIterator[None]:
    """A process stops in its tracks; its connections stay open and nobody answers."""
    identity = Identity.of(pid)
    assert identity is not None, f"{what} does not run."
    async with lab.undoing(Thaw(*astuple(identity))):
        lab.say(f"SIGSTOP to {what}")
        identity.signal(signal.SIGSTOP)
        yield


def kill_pid(lab: Lab, pid: int, what: str) -> None:
    """Kill a process that somebody else starts again."""
    identity = Identity.of(pid)
    assert identity is not None, f"{what} does not run."
    lab.say(f"SIGKILL to {what}")
    identity.signal(signal.SIGKILL)


def _service_of(lab: Lab, server: Server) -> Up:
    service = server.name.partition("-")[0]
    fleet = lab.watch.fleet if service in WATCHERS else lab.fleet
    return Up(str(fleet.folder), service, server.name)


@asynccontextmanager
async def server_away(lab: Lab, server: Server, how: str = "stop") -> AsyncIterator[None]:
    """A server of a fleet is stopped ("stop"), dies ("kill") or hangs ("freeze"); at the end it serves again."""
    async with lab.undoing(_service_of(lab, server)):
        lab.say(f"{how} {server.name}")
        await trio.to_thread.run_sync(getattr(server, how))
        yield
        lab.say(f"{server.name} comes back")


@asynccontextmanager
async def balancer_away(lab: Lab) -> AsyncIterator[None]:
    """HAProxy dies: every connection through it is gone. At the end there is a new one on the same port."""
    assert lab.site.balancer is not None
    server = lab.site.balancer.servers[0]
    lab.say("SIGKILL to HAProxy")
    await trio.to_thread.run_sync(server.kill)
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(server.start)
            await trio.to_thread.run_sync(server.wait_ready)

"""Sockets that listen for clients: on a port of one's own, or on one that several worker processes share.

`app.py` opens a node's with `listen`; the parent of a fleet first takes the shared port with `reserve`. A shared port
is SO_REUSEPORT: the kernel deals connections out to those who listen, and each closes its own socket when it stops.
"""

from __future__ import annotations

import errno
import socket
from contextlib import AsyncExitStack

import trio

from .errors import SettingsError


async def listen(
    stack: AsyncExitStack, host: str, port: int, backlog: int, *, is_shared: bool = False
) -> list[trio.SocketListener]:
    """Listen on every address of `host` until the stack closes; port 0 takes a free one.

    Raises: `SettingsError`.
    """
    try:
        if is_shared:
            listeners = [_listening(bound, backlog) for bound in await _bind_all(host, port, is_shared=True)]
        else:
            listeners = await trio.open_tcp_listeners(port, host=host, backlog=backlog)
    except OSError as error:
        raise _cannot_listen(host, port, error) from error
    for listener in listeners:
        stack.push_async_callback(listener.aclose)
    return listeners


async def reserve(stack: AsyncExitStack, host: str, port: int) -> int:
    """Take a port for processes that will share it, without listening, until the stack closes; return its number.

    A port that somebody listens on is refused, also if he would share it: two fleets are not to get each other's
    clients.

    Raises: `SettingsError`.
    """
    try:
        for probe in await _bind_all(host, port, is_shared=False):
            port = probe.getsockname()[1]
            probe.close()
        for bound in await _bind_all(host, port, is_shared=True):
            stack.callback(bound.close)
    except OSError as error:
        raise _cannot_listen(host, port, error) from error
    return port


def _listening(bound: trio.socket.SocketType, backlog: int) -> trio.SocketListener:
    bound.listen(backlog)
    return trio.SocketListener(bound)


async def _bind_all(host: str, port: int, *, is_shared: bool) -> list[trio.socket.SocketType]:
    """Bind a socket on every address of `host`, the same port on all of them."""
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[trio.socket.SocketType] = []
    try:
        for family, kind, protocol, _, address in found:
            try:
                one = trio.socket.socket(family, kind, protocol)
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
                continue  # a name may have an IPv6 address on a machine without IPv6
            bound.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_shared:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            await one.bind((address[0], port, *address[2:]))
            port = one.getsockname()[1]
        if not bound:
            raise OSError(errno.EADDRNOTAVAIL, "there is no such address here")
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound


def _cannot_listen(host: str, port: int, error: OSError) -> SettingsError:
    return SettingsError(f"Cannot listen on {host} port {port}: {error.strerror or error}.")

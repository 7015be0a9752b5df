"""Which methods of a server are messages, and how many arguments they take.

References ask here before they send, so that a wrong message is the sender's error: at the server's end it would
be a crash. A type checker says the same earlier, to those who run one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .server import Server

OWN: Final = frozenset({"init", "handle_info", "terminate"})
"""Methods that the server's own loop calls."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A method that may be sent, and how many arguments it takes."""

    function: Callable[..., Awaitable[Any]]
    fewest: int
    most: float


def function_of(kind: type[Server], method: object, count: int) -> Callable[..., Awaitable[Any]]:
    """Return the class's own form of `method`, which may be an override, if it can be sent with `count` arguments.

    Raises: TypeError.
    """
    verb = kind._server_verbs.get(method)
    if verb is None:
        verb = kind._server_verbs[method] = _verb_of(kind, method)
    if not verb.fewest <= count <= verb.most:
        raise TypeError(f"{verb.function.__qualname__} cannot take {count} arguments.")
    return verb.function


def _verb_of(kind: type[Server], method: object) -> Verb:
    name = getattr(method, "__name__", "")
    if all(vars(base).get(name) is not method for base in kind.__mro__):
        raise TypeError(f"{method!r} is no method of {kind.__qualname__}: pass it as {kind.__name__}.method.")
    if name in OWN:
        raise TypeError(f"{kind.__qualname__}.{name} is the server's own affair and no message.")
    function = getattr(kind, name)
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"{kind.__qualname__}.{name} must be an async def to be a message.")
    fewest, most = 0, 0.0
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        needed = parameter.default is parameter.empty
        match parameter.kind:
            case parameter.VAR_POSITIONAL:
                most = math.inf
            case parameter.POSITIONAL_ONLY | parameter.POSITIONAL_OR_KEYWORD:
                fewest, most = fewest + needed, most + 1
            case parameter.KEYWORD_ONLY if needed:
                raise TypeError(
                    f"{function.__qualname__} needs {parameter.name} by keyword; messages have none."
                )
    return Verb(function, fewest, most)

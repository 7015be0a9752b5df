"""Checks of settings, for those whom no type checker warned.

The values that applications fill in call them when they are made, so that nothing wrong gets as far as a start.
"""

from __future__ import annotations

from .errors import BadSpec


def require(is_right: bool, what: str, value: object) -> None:
    """Refuse a value, of which `what` says what it has to be.

    Raises: `BadSpec`.
    """
    if not is_right:
        raise BadSpec(f"{what}, not {value!r}.")


def is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    """Return whether a value is of the type it is declared to be; a type checker would call that certain."""
    return isinstance(value, kind)


def is_number(value: object, *, least: float = float("-inf"), above: float = float("-inf")) -> bool:
    """Return whether a value is a number in these bounds; True and False are not meant as 1 and 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= least and value > above


def is_count(value: object, *, least: int) -> bool:
    """Return whether a value is a number of things."""
    return type(value) is int and value >= least


def is_callable(value: object) -> bool:
    """Return whether a value can be called, whatever its declared type promises."""
    return callable(value)

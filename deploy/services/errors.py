"""What can go wrong with the services, each as one sentence that says what to do; `code` is the exit status."""

from __future__ import annotations

from typing import ClassVar


class ServicesError(Exception):
    """The services cannot do what was asked of them."""

    code: ClassVar[int] = 1


class Misused(ServicesError):
    """What was asked does not fit what is there; nothing was done."""

    code = 2


class Unavailable(ServicesError):
    """This machine lacks something; the sentence says what to install. Nothing was started."""

    code = 3


class NotReady(ServicesError):
    """A server did not start, or ended; the sentence names its log."""

    code = 4

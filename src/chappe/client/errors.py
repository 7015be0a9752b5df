"""What an application may catch from the SDK. A refusal by the server is `chappe.protocol.codes.RequestError`."""

from __future__ import annotations

from ..errors import ChappeError


class ClientError(ChappeError):
    """The root of the SDK's own errors."""


class NoProfile(ClientError):
    """The folder holds no signed-in device; register or log in first."""


class ProfileExists(ClientError):
    """The folder holds a signed-in device already; nothing was changed."""


class StoreInUse(ClientError):
    """Another process has this folder open: two processes on one ratchet would reuse its keys."""


class WrongPassphrase(ClientError):
    """The passphrase does not open this folder's store."""


class StoreDamaged(ClientError):
    """The local store holds something that this device did not write, or a newer version did."""


class NoConnection(ClientError):
    """There is no connection to the server: for now (`Unreachable`) or for good (`Refused`)."""


class Unreachable(NoConnection):
    """No connection to the server; trying again later may help."""


class Offline(Unreachable):
    """There is no connection now, or it broke before the answer came: whether it was done is unknown."""


class Refused(NoConnection):
    """The server ended the connection for good: the device was revoked or replaced. `close` is the close code."""

    def __init__(self, message: str, close: int) -> None:
        super().__init__(message)
        self.close = close


class SendFailed(ClientError):
    """A message can never be sent; the text says why."""


class IdentityNotTrusted(ClientError):
    """This person's account key has changed; compare safety numbers and call `trust`."""


class ServerLied(ClientError):
    """What the server answered does not verify: keys, device lists, ids or numbers. It was not used."""


class BadLinkCode(ClientError):
    """A link code is mistyped, incomplete or of something that cannot be linked."""


class NotFound(ClientError):
    """Nobody, or nothing, by that name here."""

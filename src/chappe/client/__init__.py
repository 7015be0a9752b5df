"""The client SDK: an application's way into Chappe.

>>> async def hello(folder: Path, passphrase: str, friend: str) -> str:
...     async with Client(folder, passphrase) as client:
...         await client.online()
...         contact = await client.add_contact(friend)
...         message = await client.send(contact.user, "hello")
...         message = await client.wait(message.cid, DeliveryState.SENT)
...         return f"{message.text!r} is {message.state.name}"
"""

from ..errors import StoreUnavailable
from ..protocol.calls import Contact, Privacy, Settings
from ..protocol.codes import ErrorCode, RequestError
from .client import Client
from .enrol import login, register
from .errors import (
    BadLinkCode,
    ClientError,
    IdentityNotTrusted,
    NoConnection,
    NoProfile,
    NotFound,
    Offline,
    ProfileExists,
    Refused,
    SendFailed,
    ServerLied,
    StoreDamaged,
    StoreInUse,
    Unreachable,
    WrongPassphrase,
)
from .events import (
    ConnectionChanged,
    Event,
    EventsLost,
    EventStream,
    IdentityChanged,
    MessageChanged,
    MessageReceived,
    PresenceChanged,
    ServerSuspected,
    TypingChanged,
    Undecryptable,
)
from .values import (
    ConnectionState,
    Conversation,
    DeliveryState,
    DeviceInfo,
    HistoryPage,
    Me,
    Message,
    PresenceInfo,
)

__all__ = [
    "BadLinkCode",
    "Client",
    "ClientError",
    "ConnectionChanged",
    "ConnectionState",
    "Contact",
    "Conversation",
    "DeliveryState",
    "DeviceInfo",
    "ErrorCode",
    "Event",
    "EventStream",
    "EventsLost",
    "HistoryPage",
    "IdentityChanged",
    "IdentityNotTrusted",
    "Me",
    "Message",
    "MessageChanged",
    "MessageReceived",
    "NoConnection",
    "NoProfile",
    "NotFound",
    "Offline",
    "PresenceChanged",
    "PresenceInfo",
    "Privacy",
    "ProfileExists",
    "Refused",
    "RequestError",
    "SendFailed",
    "ServerLied",
    "ServerSuspected",
    "Settings",
    "StoreDamaged",
    "StoreInUse",
    "StoreUnavailable",
    "TypingChanged",
    "Undecryptable",
    "Unreachable",
    "WrongPassphrase",
    "login",
    "register",
]

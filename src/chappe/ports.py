"""What the gateway needs of the world, as small Protocols: the adapters in `stores/` fulfil them.

Every method either did all of its work when it returns or nothing of it when it raises; a cancelled call may have
done either. All raise `StoreUnavailable` when the store cannot be reached, is full, or is too slow: the gateway turns
it into a retryable error. `tests/contracts` holds the suites that every adapter passes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from .domain.accounts import Account, ContactRow, Device, Direct, PendingDevice, Person, Registration
from .domain.messages import InboxRow, LogRow, StoredMessage, Watermark
from .ids import Cid, ConversationId, DeviceId, MessageId, UserId
from .protocol.calls import Bundle, OneTimeKem, OneTimeKey, Settings
from .protocol.frames import PreKeys


class UserStore(Protocol):
    """Accounts, devices, contacts, one-to-one conversations, last seen."""

    async def put_registration(self, registration: Registration) -> None:
        """Keep a registration, replacing an older one of the same phone.

        Raises: `Taken` ("username" or "phone") when an account has it already.
        """

    async def get_registration(self, phone: str) -> Registration | None:
        """Return the registration that waits for this phone's code."""

    async def spend_attempt(self, phone: str) -> int:
        """Count one wrong code; return how many attempts are left. At none the registration is gone."""

    async def create_account(self, registration: Registration) -> None:
        """Make account, device and prekeys of a registration in one step, and drop the registration.

        Raises: `Taken` when somebody else was faster with user name, phone, user id or device id.
        """

    async def account(self, user: UserId) -> Account | None:
        """Return an account by id."""

    async def account_by_name(self, username: str) -> Account | None:
        """Return an account by user name (case-insensitive)."""

    async def account_by_phone(self, phone: str) -> Account | None:
        """Return an account by phone number (E.164)."""

    async def device(self, device: DeviceId) -> Device | None:
        """Return a device, revoked ones too."""

    async def devices(self, user: UserId) -> list[Device]:
        """Return an account's devices that are not revoked."""

    async def put_pending(self, pending: PendingDevice) -> None:
        """Keep an announced device until it is linked or expires."""

    async def pending(self, device: DeviceId) -> PendingDevice | None:
        """Return an announced device."""

    async def replace_device_list(
        self,
        user: UserId,
        signed: bytes,
        version: int,
        *,
        now_ms: int,
        link: tuple[DeviceId, bytes] | None,
        revoke: Iterable[DeviceId],
    ) -> None:
        """Move an account to the next device list: link one announced device, revoke others, in one step.

        `link` is the announced device and the sealed account key for it. The prekeys of revoked devices are deleted.
        Raises: `Stale` unless `version` is greater than the stored one; `Missing` when the announced device
        is unknown or has expired; `Taken` ("device") when it was linked before, revoked since or not.
        """

    async def put_contact(self, contact: ContactRow, most: int) -> bool:
        """Add a contact, or replace it; return False, changing nothing, when a new one would be more than `most`.

        Raises: `Missing` when one of the two accounts is not there.
        """

    async def remove_contact(self, owner: UserId, user: UserId) -> None:
        """Remove a contact; one that is not there is no error."""

    async def contacts(self, owner: UserId) -> list[ContactRow]:
        """Return somebody's contacts, by name."""

    async def put_direct(self, direct: Direct) -> None:
        """Remember a one-to-one conversation; doing so twice is no error."""

    async def direct(self, conv: ConversationId) -> Direct | None:
        """Return a one-to-one conversation."""

    async def person(self, user: UserId) -> Person | None:
        """Return settings and last seen."""

    async def people(self, users: Collection[UserId]) -> dict[UserId, Person]:
        """Return settings and last seen of several accounts; unknown ones are left out."""

    async def who_has_contact(self, user: UserId, owners: Collection[UserId]) -> set[UserId]:
        """Return which of `owners` have `user` among their contacts."""

    async def put_settings(self, user: UserId, settings: Settings) -> None:
        """Replace somebody's settings."""

    async def put_last_seen(self, seen: dict[UserId, int]) -> None:
        """Store last-seen times (UTC milliseconds) of several accounts at once; they only grow."""

    async def restored_ms(self) -> int:
        """Return when the stores were last brought back to an earlier point (UTC milliseconds), 0 for never."""

    async def ping(self) -> None:
        """Return if the store would answer."""

    async def now_ms(self) -> int | None:
        """Return the time by the store's clock (UTC milliseconds); None when that is this machine's own."""


class KeyStore(Protocol):
    """Prekeys."""

    async def replace_prekeys(self, device: DeviceId, prekeys: PreKeys) -> None:
        """Replace a device's signed prekey and last-resort KEM key."""

    async def add_one_time(
        self, device: DeviceId, one_time: Sequence[OneTimeKey], kem: Sequence[OneTimeKem]
    ) -> None:
        """Add one-time keys; ids that are there already are ignored."""

    async def count(self, device: DeviceId) -> tuple[int, int]:
        """Return how many one-time keys and KEM keys are left."""

    async def claim(self, user: UserId, devices: Sequence[DeviceId]) -> list[Bundle]:
        """Take one bundle per device that is the user's and not revoked. A one-time key is returned once, ever."""


class MessageStore(Protocol):
    """The chat log, the inboxes and the receipts."""

    @property
    def is_exclusive(self) -> bool:
        """Whether nobody else can write to it while this process does, so that its writes happen one after the other.

        Otherwise a message that may have come too late for its readers is appended once more, with `again`.
        """

    async def append(self, messages: Sequence[StoredMessage], watermarks: Sequence[Watermark]) -> None:
        """Store all of these; durable on return. Watermarks are merged with what is there.

        Raises: `OutcomeUnknown` (a `StoreUnavailable`), which names those that are stored all the same.
        """

    async def find(self, conv: ConversationId, device: DeviceId, cid: Cid, after: MessageId) -> LogRow | None:
        """Return the message (device, cid) of a conversation if it has an id greater than `after`.

        No device has been shown one that is not found, unless that was on its way when `find` was called. One that is
        found need not be in the inboxes yet, if the store is not exclusive.
        """

    async def history(self, conv: ConversationId, before: MessageId | None, limit: int) -> list[LogRow]:
        """Return up to `limit` rows with ids less than `before`, newest first. A second (device, cid) may be in it."""

    async def inbox(self, device: DeviceId, after: MessageId, limit: int) -> list[InboxRow]:
        """Return up to `limit` rows of a device's inbox with positions greater than `after`, in their order."""

    async def watermarks(self, convs: Sequence[ConversationId]) -> list[Watermark]:
        """Return everybody's watermarks in these conversations."""

    async def newest_id(self) -> MessageId:
        """Return the greatest message id stored, or 16 zero bytes."""

    async def ping(self) -> None:
        """Return if the store would answer and accept a write."""


class CodeSender(Protocol):
    """Brings a verification code to a phone."""

    async def send(self, phone: str, code: str) -> None:
        """Send the code. Raises: `StoreUnavailable` when it cannot be sent now."""


class BusSink(Protocol):
    """What a gateway hears over the bus: plain calls on trio's thread that neither wait nor raise."""

    def wake(self, device: DeviceId, row: InboxRow) -> None:
        """Take a stored row for a device here; it may have come already, and the device may have left."""

    def note(self, device: DeviceId, note: bytes) -> None:
        """Take an encoded frame for a device here."""

    def kick(self, device: DeviceId, session: int) -> None:
        """Close this session of a device if it is still open (4409): the device connected anew."""

    def stale(self) -> None:
        """Have every device here read its inbox again, spread over some time: wakes may be lost."""

    def changed(self, user: UserId, revoked: Sequence[DeviceId]) -> None:
        """Forget what is cached of an account's devices; end the connections of the revoked."""

    def presence(self, user: UserId, is_online: bool, at_ms: int) -> None:
        """Take note that an account came to another gateway, or left one, be it this; it may be at further ones."""

    def forget(self) -> None:
        """Forget everything that `changed` and `presence` keep true: one of them may be lost."""


class Bus(Protocol):
    """Between gateways: who is connected where, and wake-ups. The stores have everything; this makes it fast.

    Methods that wait take at most a few seconds. Nothing but `online` and the limits raises `BusUnavailable`; a bus
    that is down costs time, not messages: `is_up` says when inboxes must be polled.
    """

    @property
    def is_alone(self) -> bool:
        """Whether there is no other gateway."""

    @property
    def is_up(self) -> bool:
        """Whether wakes arrive from other gateways."""

    async def until_up(self) -> None:
        """Return once it is up."""

    async def until_down(self) -> None:
        """Return once it is down."""

    async def claim(self, device: DeviceId, user: UserId, session: int) -> None:
        """Say that this device is connected here now. Call it before its inbox is read.

        `session` tells connections of this gateway apart (0 to 2**53 - 1). Whoever had the device is told to close;
        of two at once the later one stays, as the broker saw them. With the bus down it is entered when that is back.
        Cancelled: entered or not; release it.
        """

    def release_nowait(self, device: DeviceId, session: int) -> None:
        """Say that this session of a device has ended. Another session's claim stays."""

    def wake_nowait(self, message: StoredMessage, devices: Collection[DeviceId]) -> None:
        """Hand a stored message to those of `devices`, all in its wraps, that are connected elsewhere."""

    def note_nowait(self, devices: Collection[DeviceId], note: bytes) -> None:
        """Hand an encoded frame, which may be lost, to those of `devices` that are connected elsewhere."""

    def changed_nowait(self, user: UserId, revoked: Collection[DeviceId]) -> None:
        """Tell the other gateways that an account's device list changed."""

    def presence_nowait(self, user: UserId, *, is_online: bool, at_ms: int) -> None:
        """Tell the other gateways that an account came here, or that its last connection here ended."""

    async def online(self, users: Collection[UserId]) -> set[UserId]:
        """Return those who have a device connected anywhere, for up to a minute also after a gateway's crash."""

    async def load_limits(self, device: DeviceId) -> bytes | None:
        """Return what any gateway saved for a device in the last minutes."""

    async def save_limits(self, device: DeviceId, limits: bytes) -> None:
        """Keep up to 4 KiB for a device for some minutes. Raises: `ValueError` for more."""

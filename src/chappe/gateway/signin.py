"""Before a connection may speak: registering, announcing a further device, and signing in with HELLO.

The reader's dispatch calls these. A device proves itself by signing the server's nonce, so that nothing worth
stealing crosses the wire at connect; a password is needed only to register and to announce a device. Device lists and
prekeys are verified here for what any client would refuse; whose key it is, clients check for themselves.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable

import trio

from ..crypto import device_list, keys, primitives
from ..crypto.errors import CryptoError, RolledBack
from ..domain.accounts import Account, Device, PendingDevice, Registration
from ..domain.names import checked_password, checked_phone, checked_username
from ..errors import Taken
from ..ids import ID_BYTES, DeviceId, MessageId, device_id, floor_id
from ..ports import CodeSender, UserStore
from ..protocol import calls
from ..protocol.buckets import LeakyBucket
from ..protocol.codes import CloseCode, ErrorCode, ProtocolError, RequestError
from ..protocol.frames import VERSION, Hello, Link, Login, PreKeys, Register, Verify, hello_transcript
from ..settings import Accounts
from ..workers.shared_limits import SharedLimits
from .connection import Buckets, Connection
from .directory import Directory
from .passwords import Passwords

REMEMBERED_ADDRESSES = 10_000
_SIGN_UPS = "sign-ups"


class SignIn:
    """Registers accounts, announces devices, checks HELLOs."""

    def __init__(
        self,
        users: UserStore,
        directory: Directory,
        sender: CodeSender,
        accounts: Accounts,
        limits: SharedLimits,
        now_ms: Callable[[], int],
    ) -> None:
        self._users = users
        self._directory = directory
        self._sender = sender
        self._accounts = accounts
        self._limits = limits
        self._now_ms = now_ms
        self._passwords = Passwords(accounts)
        self._buckets: OrderedDict[str, Buckets] = OrderedDict()

    async def hello(self, connection: Connection, hello: Hello, server: str) -> tuple[Device, MessageId]:
        """Check a proof; return the device and where its inbox is to be read from.

        Raises: `ProtocolError` 4401 or 4403; `StoreUnavailable`.
        """
        if hello.version != VERSION:
            raise ProtocolError(CloseCode.BAD_FRAME, f"This server speaks version {VERSION}.")
        device = await self._directory.device(hello.device)
        if device is None:
            raise ProtocolError(CloseCode.NOT_AUTHENTICATED, "Unknown device; register or link it first.")
        transcript = hello_transcript(connection.nonce, server, hello.version)
        if not primitives.is_signed(device.key, transcript, hello.proof):
            raise ProtocolError(CloseCode.NOT_AUTHENTICATED, "The proof is not this device's signature.")
        if device.revoked:
            raise ProtocolError(CloseCode.FORBIDDEN, "This device was revoked; link it again.")
        start = floor_id(device.linked_ms)
        if hello.cursor is None or len(hello.cursor) != len(start):
            return device, start
        return device, max(start, MessageId(hello.cursor))

    async def register(self, address: str, frame: Register) -> calls.Nothing:
        """Keep a registration and send its code.

        Raises: `RequestError`, `Taken`, `StoreUnavailable`.
        """
        await self._allow(address)
        now_ms = self._now_ms()
        phone = checked_phone(frame.phone)
        device = device_id(frame.device_key)
        check_prekeys(frame.device_key, frame.prekeys)
        devices = verified_list(frame.device_list, frame.account_key, 1)
        if devices.version != 1 or [entry.device for entry in devices.entries] != [device]:
            raise RequestError(
                ErrorCode.BAD_REQUEST, "The first device list holds this one device, in version 1."
            )
        account = Account(
            user=frame.user,
            username=checked_username(frame.username),
            phone=phone,
            password_hash=await self._passwords.hash(checked_password(frame.password)),
            account_key=frame.account_key,
            device_list=frame.device_list,
            list_version=1,
        )
        code = f"{secrets.randbelow(10**6):06}"
        await self._users.put_registration(
            Registration(
                phone=phone,
                account=account,
                device=Device(device, frame.user, frame.device_key, devices.entries[0].name, now_ms),
                prekeys=frame.prekeys,
                code_hash=_code_hash(phone, code),
                attempts_left=self._accounts.code_attempts,
                expires_ms=now_ms + int(self._accounts.code_ttl_s * 1000),
            )
        )
        await self._sender.send(phone, code)
        return calls.Nothing()

    async def verify(self, address: str, frame: Verify) -> calls.Nothing:
        """Make the account if the code is right.

        Raises: `RequestError`, `Taken`, `StoreUnavailable`.
        """
        await self._allow(address)
        phone = checked_phone(frame.phone)
        registration = await self._users.get_registration(phone)
        if registration is None or registration.expires_ms <= self._now_ms():
            raise RequestError(ErrorCode.BAD_CODE, "No code is waiting for this number; register again.")
        if not hmac.compare_digest(registration.code_hash, _code_hash(phone, frame.code)):
            left = await self._users.spend_attempt(phone)
            raise RequestError(ErrorCode.BAD_CODE, f"Wrong code; {left} attempts left.")
        await self._users.create_account(registration)
        self._directory.forget(registration.account.user, [])
        return calls.Nothing()

    async def login(self, address: str, frame: Login) -> calls.LoginResult:
        """Announce a further device; one of the account's devices has to link it.

        Raises: `RequestError`, `Taken`, `StoreUnavailable`.
        """
        await self._allow(address)
        account = await self._users.account_by_name(frame.username)
        if not await self._passwords.is_right(frame.password, account.password_hash if account else None):
            raise RequestError(ErrorCode.BAD_CREDENTIALS, "Wrong user name or password.")
        assert account is not None
        check_prekeys(frame.device_key, frame.prekeys)
        device = device_id(frame.device_key)
        if await self._users.device(device) is not None:
            raise Taken("device")
        pending_s = self._accounts.pending_device_s
        await self._users.put_pending(
            PendingDevice(
                device, account.user, frame.device_key, frame.name, frame.prekeys,
                self._now_ms() + int(pending_s * 1000),
            )
        )  # fmt: skip
        return calls.LoginResult(account.user, device, int(pending_s))

    async def link(self, connection: Connection, frame: Link) -> calls.SealedLink:
        """Hand the sealed account key to an announced device once it was linked.

        Raises: `RequestError` (`link_pending` until then), `StoreUnavailable`.
        """
        connection.spend("link", 10, 1)
        pending = await self._users.pending(frame.device)
        if pending is None or (pending.sealed is None and pending.expires_ms <= self._now_ms()):
            raise RequestError(
                ErrorCode.NOT_FOUND, "This device was not announced, or too long ago; log in again."
            )
        if pending.sealed is None:
            raise RequestError(ErrorCode.LINK_PENDING, "Not linked yet.", retry_after_ms=1000)
        account = await self._users.account(pending.user)
        assert account is not None
        signed = calls.DeviceList(account.user, account.account_key, account.device_list)
        return calls.SealedLink(account.user, pending.sealed, signed)

    async def _allow(self, address: str) -> None:
        limits = self._limits.settings
        buckets = self._buckets.get(address)
        if buckets is None:
            bucket = LeakyBucket(limits.signups_per_address_burst, limits.signups_per_address_per_s)
            buckets = self._buckets[address] = {_SIGN_UPS: bucket}
            if len(self._buckets) > REMEMBERED_ADDRESSES:
                self._buckets.popitem(last=False)
        name = DeviceId(
            hashlib.blake2b(address.encode(), digest_size=ID_BYTES, person=b"chappe address").digest()
        )
        await self._limits.load(name, buckets)
        wait_s = buckets[_SIGN_UPS].take(trio.current_time())
        self._limits.save_nowait(name, buckets)
        if wait_s:
            raise RequestError(
                ErrorCode.RATE_LIMITED,
                "Too many sign-ups from this address; try again later.",
                retry_after_ms=int(wait_s * 1000) + 1,
            )


def verified_list(signed: bytes, account_key: bytes, at_least: int) -> device_list.DeviceList:
    """Return a device list that its account signed.

    Raises: `RequestError`.
    """
    try:
        return device_list.verify(signed, account_key, at_least)
    except RolledBack as error:
        raise RequestError(ErrorCode.STALE_DEVICE_LIST, str(error)) from error
    except CryptoError as error:
        raise RequestError(ErrorCode.BAD_SIGNATURE, str(error)) from error


def check_prekeys(device_key: bytes, prekeys: PreKeys) -> None:
    """Check that a device signed its prekeys.

    Raises: `RequestError`.
    """
    signed = keys.signed_transcript(prekeys.signed_id, prekeys.signed_key)
    kem = keys.kem_transcript(prekeys.kem_id, prekeys.kem_key)
    if not (
        primitives.is_signed(device_key, signed, prekeys.signed_signature)
        and primitives.is_signed(device_key, kem, prekeys.kem_signature)
    ):
        raise RequestError(ErrorCode.BAD_SIGNATURE, "The prekeys are not signed by this device.")


def _code_hash(phone: str, code: str) -> bytes:
    return hashlib.blake2b(code.encode(), key=phone.encode(), digest_size=32).digest()

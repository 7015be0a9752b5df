"""Every way a frame or a connection can be refused: the closed lists of error codes and close codes.

Both sides read them from here. An error answers one frame and leaves the connection open; a close code ends the
connection. `RETRYABLE` is the SDK's whole policy: what is in it is tried again, the rest is final.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final


class ErrorCode(StrEnum):
    """Why a frame was refused."""

    BAD_REQUEST = "bad_request"
    TOO_BIG = "too_big"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    STORE_UNAVAILABLE = "store_unavailable"
    WRITE_LATE = "write_late"
    NOT_AUTHENTICATED = "not_authenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    UNKNOWN_CALL = "unknown_call"
    UNKNOWN_CONVERSATION = "unknown_conversation"
    MISMATCHED_DEVICES = "mismatched_devices"
    CID_CONFLICT = "cid_conflict"
    USERNAME_TAKEN = "username_taken"
    PHONE_TAKEN = "phone_taken"
    BAD_PHONE = "bad_phone"
    BAD_CODE = "bad_code"
    BAD_CREDENTIALS = "bad_credentials"
    BAD_SIGNATURE = "bad_signature"
    STALE_DEVICE_LIST = "stale_device_list"
    LINK_PENDING = "link_pending"
    INTERNAL = "internal"


RETRYABLE: Final = frozenset(
    {
        ErrorCode.RATE_LIMITED,
        ErrorCode.OVERLOADED,
        ErrorCode.STORE_UNAVAILABLE,
        ErrorCode.WRITE_LATE,
        ErrorCode.LINK_PENDING,
    }
)


class CloseCode(IntEnum):
    """Why a connection ended. 44xx mean "the client's doing", 45xx "the server's"."""

    NORMAL = 1000
    GOING_AWAY = 1001
    INTERNAL = 1011
    BAD_FRAME = 4400
    NOT_AUTHENTICATED = 4401
    FORBIDDEN = 4403
    TOO_SLOW = 4408
    REPLACED = 4409
    TOO_BIG = 4413
    TOO_MANY = 4429
    OVERLOADED = 4503


class ProtocolError(Exception):
    """The peer broke the protocol; the connection must end with `close`. The message is fit to send to the peer."""

    def __init__(self, close: CloseCode, message: str) -> None:
        super().__init__(message)
        self.close = close
        self.message = message


class RequestError(Exception):
    """One frame was refused; the connection goes on. Raised by server-side handlers and by the SDK's calls alike."""

    def __init__(
        self, code: ErrorCode, message: str, *, retry_after_ms: int | None = None, detail: bytes = b""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.detail = detail

    @property
    def is_retryable(self) -> bool:
        """Whether the same frame may succeed later."""
        return self.code in RETRYABLE

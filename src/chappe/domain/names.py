"""What makes a user name, a phone number and a password acceptable."""

from __future__ import annotations

import re

import phonenumbers

from ..protocol.codes import ErrorCode, RequestError

MIN_PASSWORD = 8
_USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{2,31}")


def checked_username(username: str) -> str:
    """Return a user name that is fit to register.

    Raises: `RequestError`.
    """
    if not _USERNAME.fullmatch(username):
        raise RequestError(
            ErrorCode.BAD_REQUEST,
            "A user name has 3 to 32 letters, digits, dots and underscores, and begins with a letter.",
        )
    return username


def checked_password(password: str) -> str:
    """Return a password that is fit to register.

    Raises: `RequestError`.
    """
    if len(password) < MIN_PASSWORD:
        raise RequestError(ErrorCode.BAD_REQUEST, f"A password has at least {MIN_PASSWORD} characters.")
    return password


def checked_phone(phone: str) -> str:
    """Return a phone number in E.164, as in +4915112345678.

    Raises: `RequestError`.
    """
    try:
        number = phonenumbers.parse(phone, None)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise RequestError(
            ErrorCode.BAD_PHONE, "This is no valid phone number; write it as in +4915112345678."
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

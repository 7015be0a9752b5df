"""Every way the cryptography can say no: one shallow tree, raised by this package only.

`DecryptError` is what a client meets in normal life (a lost prekey, a second delivery); the rest means that
somebody lies or that stored bytes are damaged. No text here ever holds a key or a plaintext.
"""

from __future__ import annotations


class CryptoError(Exception):
    """The root of them all."""


class BadKey(CryptoError):
    """A public key is malformed or of small order; refuse whoever sent it."""


class BadSignature(CryptoError):
    """A signature does not fit; refuse what it was on."""


class BadBundle(CryptoError):
    """A prekey bundle contradicts itself; claim another one."""


class BadDeviceList(CryptoError):
    """A device list is signed well and still wrong; do not use it."""


class RolledBack(BadDeviceList):
    """A device list is older than one seen before: somebody tries to bring a revoked device back."""


class BadLink(CryptoError):
    """A link code or a sealed account key is not the expected one; start the linking again."""


class BadState(CryptoError):
    """Stored keys or sessions cannot be read; they are damaged or of a later version."""


class DecryptError(CryptoError):
    """A ciphertext was refused; no state has moved."""


class NoSession(DecryptError):
    """The session or the prekey that this needs is not here (any more).

    Ask the sender to start a new session.
    """


class Replayed(DecryptError):
    """This was opened before, or its key has been dropped; ignore it."""


class Tampered(DecryptError):
    """The ciphertext or what it is bound to was changed, or the two sides no longer share their keys."""


class TooFarAhead(DecryptError):
    """Too many messages are missing before this one; ask the sender to start a new session."""


class WrongPeer(DecryptError):
    """The session belongs to other keys than the ones given; check the peer's device list."""

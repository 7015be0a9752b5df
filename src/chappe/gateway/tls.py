"""TLS for the WebSocket: from certificate files, or a certificate authority of one's own for development.

The development authority is made once and kept in the data folder, so that `--ca <data>/tls/ca.pem` stays right.
"""

from __future__ import annotations

import fcntl
import ssl
from pathlib import Path

import trustme

from ..errors import SettingsError
from ..settings import Gateway


def server_context(settings: Gateway, data: Path) -> ssl.SSLContext | None:
    """Return the listener's TLS context, None for plain TCP.

    Raises: `SettingsError` when the files cannot be used.
    """
    certificate, private_key = certificate_file(settings, data), settings.private_key
    if certificate is None:
        return None
    if settings.self_signed:
        private_key = certificate
        _make_certificate(certificate, settings.host)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, private_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"Cannot use the certificate {certificate} with its key: {error}.") from error
    return context


def certificate_file(settings: Gateway, data: Path) -> Path | None:
    """Return where the listener's certificate is, None for plain TCP."""
    return data / "tls" / "server.pem" if settings.self_signed else settings.certificate


def _make_certificate(server: Path, host: str) -> None:
    """Make a file with certificate and key for this machine, unless it is there; its authority is `ca.pem` beside it.

    Of processes that start at the same time one makes them, and the others wait: it is a matter of milliseconds.
    """
    folder = server.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not server.exists():
            authority = trustme.CA()
            authority.cert_pem.write_to_path(folder / "ca.pem")
            names = dict.fromkeys(("localhost", "127.0.0.1", "::1", host))
            made = folder / "server.pem.new"
            made.touch(mode=0o600)
            authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(made)
            made.replace(server)  # a kill before this leaves nothing that the next start would trust

"""TLS for the WebSocket: from certificate files, or a certificate authority of one's own for development.

The development authority is made once and kept in the data folder, so that `--ca <data>/tls/ca.pem` stays right.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from ..errors import SettingsError
from ..settings import Gateway


def server_context(settings: Gateway, data: Path) -> ssl.SSLContext | None:
    """Return the listener's TLS context, None for plain TCP.

    Raises: `SettingsError` when the files cannot be used.
    """
    certificate, private_key = settings.certificate, settings.private_key
    if settings.self_signed:
        certificate = private_key = _development_certificate(data / "tls", settings.host)
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, private_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"Cannot use the certificate {certificate} with its key: {error}.") from error
    return context


def _development_certificate(folder: Path, host: str) -> Path:
    """Return a file with certificate and key for this machine, made by the authority in `ca.pem` beside it."""
    server = folder / "server.pem"
    if not server.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        names = dict.fromkeys(("localhost", "127.0.0.1", "::1", host))
        server.touch(mode=0o600)
        authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(server)
    return server

"""Certificates of an authority of one's own, that last as long as a scenario wants.

Everybody who is started with `environment` trusts it: that is how OpenSSL, and so every client, finds its authorities.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import trustme

VALID: Final = timedelta(days=30)  # long enough that no alert calls for a new one


class Certificates:
    """The authority, and the files of the node's certificate and key. `issue` writes them."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._ca, self.certificate, self.key = (folder / name for name in ("ca.pem", "chain.pem", "key.pem"))
        self._authority.cert_pem.write_to_path(self._ca)
        self.issue(VALID)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process trust the authority."""
        return {"SSL_CERT_FILE": str(self._ca)}

    @property
    def settings(self) -> dict[str, str]:
        """The lines of a node's configuration."""
        return {"gateway": f'certificate = "{self.certificate}"\nprivate_key = "{self.key}"'}

    def issue(self, lasts: timedelta) -> None:
        """Write a certificate for this machine that is valid until so long from now; a node reads it when it starts."""
        made = self._authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) + lasts)
        made.private_key_pem.write_to_path(self.key)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))

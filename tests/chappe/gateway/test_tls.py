"""The development certificate, when several processes want it at the same time."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path
from chappe.gateway.tls import server_context
from chappe.settings import Gateway
print("ready", flush=True)
sys.stdin.readline()
server_context(Gateway(self_signed=True), Path(sys.argv[1]))
print((Path(sys.argv[1]) / "tls" / "server.pem").read_text())
"""


def test_processes_that_start_at_once_have_the_same_certificate(tmp_path: Path) -> None:
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for one in crowd:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in crowd:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    seen = {one.communicate(timeout=60)[0] for one in crowd}
    assert (len(seen), [one.returncode for one in crowd]) == (1, [0] * 6)
    tls = tmp_path / "tls"
    assert sorted(file.name for file in tls.iterdir()) == ["ca.pem", "lock", "server.pem"]
    assert (tls / "server.pem").stat().st_mode & 0o077 == 0
    context = ssl.create_default_context(cafile=tls / "ca.pem")
    assert context.cert_store_stats()["x509_ca"] == 1

"""The demonstration keeps its promises, and notices when one is broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from chappe.cli.exits import ExitCode
from chappe.demo.evidence import files_with
from chappe.demo.narrator import Narrator

DEMO = [sys.executable, "-m", "chappe.demo"]


def played(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        DEMO, capture_output=True, text=True, timeout=90, check=False, env={**os.environ, **environment}
    )


@pytest.mark.system
def test_every_promise_is_kept(tmp_path: Path) -> None:
    demo = played(TMPDIR=str(tmp_path))
    assert demo.returncode == ExitCode.OK, demo.stdout + demo.stderr
    assert demo.stderr == ""
    assert "✗" not in demo.stdout
    assert "\x1b" not in demo.stdout
    for part in (
        "✓ stored",
        "✓✓ delivered",
        "✔✔ read",
        "is typing",
        "is offline",
        "online again",
        "body ",
        "├─ connections",
        "p50",
        "each once, word for word",
        "stopped cleanly",
    ):
        assert part in demo.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.system
def test_a_server_that_does_not_start_ends_it(tmp_path: Path) -> None:
    demo = played(TMPDIR=str(tmp_path), CHAPPE_NODE_GATEWAY__PROT="7400")
    assert demo.returncode == ExitCode.FAILED
    assert "ended early: The server ended" in demo.stdout
    assert "CHAPPE_NODE_GATEWAY__PROT" in demo.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.system
def test_control_c_leaves_nothing_behind(tmp_path: Path) -> None:
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    ) as demo:
        assert demo.stdout is not None
        line = next(line for line in demo.stdout if "process" in line)
        server = int(line.partition("process ")[2].partition(":")[0])
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait(30) == ExitCode.INTERRUPTED
    assert "Ctrl-C" in rest
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
    assert list(tmp_path.iterdir()) == []


def test_one_broken_promise_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    narrator = Narrator()
    assert not narrator.is_all_kept, "no promise at all is no success"
    narrator.promise("The sun rises.", is_kept=True)
    assert narrator.is_all_kept
    narrator.promise("It sets in the east.", is_kept=False)
    assert not narrator.is_all_kept
    narrator.broken("The sun went out.", deque(["last words"]))
    assert capsys.readouterr().out.split("\n")[1:3] == ["   ✗ It sets in the east.", ""]


def test_plaintext_in_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "messages.sqlite").write_bytes(b"\x00\x01Gr\xc3\xbc\xc3\x9fe\x00")
    assert files_with(tmp_path, ["Grüße", "absent"]) == (10, ["messages.sqlite: Grüße"])

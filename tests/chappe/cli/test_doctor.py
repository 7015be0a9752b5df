"""`doctor` on machines that have something wrong with them."""

from __future__ import annotations

import fcntl
import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chappe.cli import checks
from chappe.cli.exits import ExitCode
from chappe.cli.main import app


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    file = tmp_path / "chappe.toml"
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    # Port 9 (discard) answers on no machine that runs tests.
    file.write_text(
        f'[stores]\ndata = "{data}"\n[http]\nport = 9\n[limits]\nconnections = 100\n', encoding="utf-8"
    )
    return file


def examined(config: Path) -> tuple[int, dict[str, list[dict[str, str]]]]:
    result = CliRunner().invoke(
        app, ["doctor", "--json", "--config", str(config), "--server", "ws://127.0.0.1:9"]
    )
    report = json.loads(result.stdout)
    assert report["ok"] == (result.exit_code == ExitCode.OK)
    by_check: dict[str, list[dict[str, str]]] = {}
    for finding in report["findings"]:
        assert bool(finding["advice"]) == (finding["level"] != "ok"), finding
        by_check.setdefault(finding["check"], []).append(finding)
    return result.exit_code, by_check


def test_a_sound_machine_without_a_server(config: Path) -> None:
    code, findings = examined(config)
    assert code == ExitCode.OK
    assert {"programs", "settings", "clock", "files", "data", "node", "profile", "server"} == set(findings)
    assert [one["level"] for one in findings["server"] + findings["node"]] == ["warning", "warning"]
    assert "ws://127.0.0.1:9 cannot be used" in findings["server"][0]["found"]


def test_for_people_advice_follows_the_finding(config: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--config", str(config), "--server", "ws://127.0.0.1:9"])
    lines = result.stdout.splitlines()
    [at] = [number for number, line in enumerate(lines) if line.startswith("warning  server")]
    assert lines[at + 1].lstrip().startswith("-> Start it")


def test_wrong_settings(config: Path) -> None:
    config.write_text("[gateway]\nprot = 7400\n", encoding="utf-8")
    code, findings = examined(config)
    assert code == ExitCode.FAILED
    assert "prot" in findings["settings"][0]["found"]


def test_a_folder_that_others_may_read(config: Path) -> None:
    (config.parent / "data").chmod(0o755)
    _, findings = examined(config)
    assert f"chmod 700 {config.parent / 'data'}" in findings["data"][0]["advice"]


def test_a_folder_that_is_a_file(config: Path) -> None:
    config.write_text('[stores]\ndata = "/dev/null/data"\n', encoding="utf-8")
    code, findings = examined(config)
    assert code == ExitCode.FAILED
    assert "cannot be made" in findings["data"][0]["found"]


def test_a_folder_in_use_is_said_so(config: Path) -> None:
    fd = os.open(config.parent / "data" / checks.LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        assert "no process" in examined(config)[1]["data"][1]["found"]
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        assert f"process {os.getpid()} has it open" in examined(config)[1]["data"][1]["found"]
    finally:
        os.close(fd)


@pytest.fixture
def few_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_files")
def test_too_few_files(config: Path) -> None:
    [finding] = examined(config)[1]["files"]
    assert finding["level"] == "warning"
    assert "ulimit -n 356" in finding["advice"]
    assert "limits.connections to 44" in finding["advice"]


def test_a_full_disk(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LEAST_FREE_BYTES", 2**62)
    code, findings = examined(config)
    assert code == ExitCode.FAILED
    assert "Free some space" in findings["data"][2]["advice"]


def test_a_clock_that_jumps(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MOST_CLOCK_STEP_S", -1.0)
    code, findings = examined(config)
    assert code == ExitCode.FAILED
    assert "chrony" in findings["clock"][0]["advice"]

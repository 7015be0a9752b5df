"""The units are what systemd understands, confine what they start, and give it the time and files its settings need."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from chappe.cli.main import app
from chappe.fleet.parent import LAST_CALL_S
from chappe.settings import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
# systemd's own measure, 0 to 10; without any of the settings below it would be 9.6.
EXPOSURE = {"chappe": 1.5, "cassandra": 2.5}

every_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def service(unit: Path) -> dict[str, list[str]]:
    found = defaultdict(list)
    for line in unit.read_text().partition("[Service]\n")[2].partition("\n[Install]")[0].splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


@needs_systemd
@every_unit
def test_systemd_understands_it(unit: Path, tmp_path: Path) -> None:
    # The programs are not installed on this machine, which is all that may be wrong with it.
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    done = analyze("verify", "--man=no", str(copy))
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@every_unit
def test_it_is_confined(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={int(EXPOSURE[unit.stem] * 10)}", str(unit))
    assert done.returncode == 0, done.stdout[-2000:]


def test_every_unit_is_measured() -> None:
    assert {unit.stem for unit in UNITS} == set(EXPOSURE)


def test_a_node_is_started_by_a_command_line_that_exists() -> None:
    [start] = service(FOLDER / "chappe.service")["ExecStart"]
    program, command, *words = shlex.split(start)
    assert program.endswith("/bin/chappe")
    known: Any = get_command(app)
    options = {option for parameter in known.commands[command].params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_a_node_has_the_time_and_the_files_that_its_settings_ask_for() -> None:
    unit, settings = service(FOLDER / "chappe.service"), Settings()
    stop_s = settings.timing.drain_s + settings.timing.stop_s + LAST_CALL_S
    assert int(unit["TimeoutStopSec"][0]) > stop_s
    assert int(unit["LimitNOFILE"][0]) > 2 * settings.limits.connections


def test_the_parent_of_workers_stops_and_replaces_them_itself() -> None:
    unit = service(FOLDER / "chappe.service")
    assert unit["KillMode"] == ["mixed"]  # SIGTERM for the parent alone, SIGKILL for whoever is left
    assert unit["OOMPolicy"] == ["continue"]  # else systemd stops all when the kernel kills one
    assert unit["ExecReload"] == ["kill -HUP $MAINPID"]


def test_a_node_reads_its_settings_as_a_credential_and_keeps_its_data_where_it_may() -> None:
    unit = service(FOLDER / "chappe.service")
    name, _, file = unit["LoadCredential"][0].partition(":")
    assert f"--config %d/{name}" in unit["ExecStart"][0]
    assert file.startswith("/etc/chappe/")
    assert f"--data %S/{unit['StateDirectory'][0]}" in unit["ExecStart"][0]


def test_cassandra_may_be_ended_by_systemd() -> None:
    unit = service(FOLDER / "cassandra.service")
    assert unit["SuccessExitStatus"] == ["143"]
    assert "-f" in shlex.split(unit["ExecStart"][0])  # in the foreground

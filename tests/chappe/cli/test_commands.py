"""Every command's help, its refusals, and what needs no server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from chappe.cli.devices import chosen
from chappe.cli.exits import CommandError, ExitCode
from chappe.cli.main import app
from chappe.cli.reference import rewritten
from chappe.client import DeviceInfo
from chappe.ids import DeviceId

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path
    else:
        for name, child in children.items():
            yield from commands(child, (*path, name))


COMMANDS = sorted(commands(get_command(app)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for variable in ("CHAPPE_PROFILE", "CHAPPE_SERVER", "CHAPPE_CA", "CHAPPE_PASSPHRASE", "CHAPPE_PASSWORD"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def chappe(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_how_to_use_it(command: tuple[str, ...]) -> None:
    result = chappe(*command, "--help")
    assert result.exit_code == ExitCode.OK
    assert f"chappe {' '.join(command)}" in result.output.partition("Examples:")[2]


def test_help_lists_commands_and_exit_codes() -> None:
    result = chappe("--help")
    assert {path[0] for path in COMMANDS} <= set(result.output.replace("│", " ").split())
    for code in ExitCode:
        assert f"{code.value}  {code.meaning}" in result.output


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rewritten(page) == page, "run `python -m chappe.cli.reference docs/cli.md`"


def test_the_page_needs_its_markers() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        rewritten("# The command line")


def test_help_does_not_load_what_commands_need() -> None:
    script = "import sys, chappe.cli.main; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {
        "trio",
        "nacl",
        "cryptography",
        "sqlalchemy",
        "pydantic",
        "msgspec",
        "chappe.client",
        "chappe.settings",
    }
    assert not heavy & set(loaded)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nonsense"], ExitCode.USAGE, "nonsense"),
        (["send", "ben"], ExitCode.USAGE, "TEXT"),
        (["send", "ben", ""], ExitCode.USAGE, "nothing to send"),
        (["send", "ben", "hi", "--wait", "forever"], ExitCode.USAGE, "forever"),
        (["send", "ben", "hi"], ExitCode.REFUSED, "no profile 'default' yet"),
        (["history", "ben", "-p", "../other"], ExitCode.USAGE, "no profile name"),
        (["listen", "--server", "chat.example"], ExitCode.USAGE, "no server address"),
        (["register", "ann", "+4915112345678"], ExitCode.USAGE, "Set CHAPPE_PASSPHRASE"),
        (["settings", "--online", "friends"], ExitCode.USAGE, "choose everyone, contacts or nobody"),
        (["serve", "--port", "70000"], ExitCode.USAGE, "65535"),
        (["serve", "--config", "/nowhere/chappe.toml"], ExitCode.USAGE, "Cannot read /nowhere/chappe.toml"),
        (["serve", "--certificate", "chain.pem"], ExitCode.USAGE, "set both or neither"),
        (["top", "--admin", "ws://127.0.0.1:7400"], ExitCode.USAGE, "write http://host:port"),
        (["top", "--admin", "127.0.0.1:70000"], ExitCode.USAGE, "write http://host:port"),
        (["top", "--admin", "http://[::1"], ExitCode.USAGE, "write http://host:port"),
        (["top", "--admin", "http://a..b:80"], ExitCode.UNREACHABLE, "cannot be reached"),
        (["top", "--admin", "http://127.0.0.1:9"], ExitCode.UNREACHABLE, "is `chappe serve` running"),
        (["top", "--admin", "http://nowhere.invalid:80"], ExitCode.UNREACHABLE, "cannot be reached"),
        (["top", "--config", "/nowhere/chappe.toml"], ExitCode.USAGE, "Cannot read /nowhere/chappe.toml"),
        (["top", "--interval", "0"], ExitCode.USAGE, "0.1"),
        (["top", "--most", "0"], ExitCode.USAGE, "equal to 1 "),
    ],
)
def test_refusals_are_one_sentence_and_a_code(
    home: Path, arguments: list[str], code: ExitCode, sentence: str
) -> None:
    result = chappe(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_authority_file_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAPPE_PASSPHRASE", "secret")
    (home / "chappe" / "default").mkdir(parents=True)
    result = chappe("listen", "--ca", "/nowhere.pem")
    assert result.exit_code == ExitCode.USAGE
    assert "Cannot use /nowhere.pem" in result.stderr


def test_version_for_programs() -> None:
    facts = json.loads(chappe("version", "--json").stdout)
    assert facts["chappe"] == "0.1.0"
    assert facts["protocol"] == 1


def test_a_device_is_chosen_by_name_or_id() -> None:
    phone = DeviceInfo(DeviceId(b"\x01" * 16), "phone", current=False)
    tablet = DeviceInfo(DeviceId(b"\x12" * 16), "tablet", current=False)
    this = DeviceInfo(DeviceId(b"\x21" * 16), "laptop", current=True)
    devices = [phone, tablet, this]
    assert chosen("phone", devices) is phone
    assert chosen("121", devices) is tablet
    for wanted, problem in (
        ("watch", "No device"),
        ("", "No device"),
        ("1", "No device"),
        ("laptop", "are using"),
    ):
        with pytest.raises(CommandError, match=problem):
            chosen(wanted, [tablet, this] if wanted == "" else [phone, this] if wanted == "1" else devices)

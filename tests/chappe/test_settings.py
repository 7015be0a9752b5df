"""A wrong setting is refused by name, wherever it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from chappe.errors import SettingsError
from chappe.settings import Settings, load

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("file", sorted(CONFIG.glob("*.toml")), ids=lambda file: file.name)
def test_every_file_in_config_is_accepted(file: Path) -> None:
    assert load(file)


def test_the_documented_file_says_what_the_defaults_are() -> None:
    assert load(CONFIG / "chappe.toml") == Settings()


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[gateway]\nport = 1\nname = "here"\n')
    monkeypatch.setenv("CHAPPE_NODE_GATEWAY__PORT", "2")
    gateway = load(file).gateway
    assert (gateway.port, gateway.name) == (2, "here")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[gateway]\nporty = 1\n", "gateway.porty"),
        ("[gatway]\nport = 1\n", "gatway"),
        ('[limits]\nconnections = "many"\n', "limits.connections"),
        ("[timing]\nheartbeat_s = -1\n", "timing.heartbeat_s"),
        ('[gateway]\ncertificate = "a.pem"\n', "certificate and private_key belong together"),
        ("[limits]\noutbox_frames = 256\n", "limits.outbox_frames"),
        ("[limits]\noutbox_bytes = 1048576\n", "limits.outbox_bytes"),
        ("[stores]\nlog_days = 30\n", "log_days must be 0 or more than inbox_days"),
        ("[stores]\nlog_days = 7001\n", "stores.log_days"),
        ("[gateway\n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=named):
        load(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"Cannot read .*nowhere\.toml"):
        load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    "name", ["CHAPPE_NODE_GATEWAY__PORTY", "CHAPPE_NODE_GATWAY__PORT", "CHAPPE_NODE_PORT"]
)
def test_a_misspelt_variable_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=name):
        load()

"""What docs/operations.md tells people to install is what the program takes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from chappe.app import make_bus
from chappe.cli.settings_table import page_with_table, table
from chappe.fleet.parent import refuse_lonely_stores
from chappe.metrics import Metrics
from chappe.settings import Settings, load
from chappe.stores.sql.lanes import SIZES

from .pages import ROOT, read

PAGE = ROOT / "docs" / "operations.md"


def block(language: str) -> str:
    [found] = re.findall(rf"^ *```{language}\n(.*?)^ *```", read(PAGE), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "chappe.toml"
    file.write_text(block("toml"))
    return load(file)


def test_the_table_of_settings_is_current() -> None:
    assert page_with_table(read(PAGE)) == read(PAGE), (
        "run `python -m chappe.cli.settings_table docs/operations.md`"
    )


def test_every_setting_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| \S.+\S \|$", table(), re.MULTILINE)
    assert rows == [key for _, section in Settings() for key in type(section).model_fields]


def test_connections_are_counted_as_the_page_says() -> None:
    [number] = re.findall(r"opens up to (\d+)\s+connections", read(PAGE))
    assert int(number) == sum(SIZES.values())


def test_the_settings_that_are_shown_are_those_of_several_nodes(settings: Settings) -> None:
    refuse_lonely_stores(settings)
    assert settings.cassandra.replicas == len(settings.cassandra.hosts) == 3
    assert settings.gateway.workers > 1
    assert not make_bus(settings.bus, Metrics(), "here").is_alone


def test_certificates_are_where_the_unit_puts_them(settings: Settings) -> None:
    credentials = dict(re.findall(r"LoadCredential=(\S+?):(\S+)", block("ini")))
    files = [settings.gateway.certificate, settings.gateway.private_key]
    assert [file and file.parent for file in files] == [Path("/run/credentials/chappe.service")] * 2
    assert {file.name for file in files if file} == set(credentials)


def test_the_balancer_asks_and_sends_where_nodes_listen(settings: Settings) -> None:
    balancer = block("haproxy")
    assert f"check port {settings.http.port} " in balancer
    servers = re.findall(r"server \w ([\d.]+):(\d+)", balancer)
    assert servers == [(host, str(settings.gateway.port)) for host in settings.cassandra.hosts]


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_haproxy_understands_it(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(block("haproxy"))
    done = subprocess.run(["haproxy", "-c", "-f", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""What compose.yaml says agrees with the code, the Dockerfile and the services that run without Docker."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from sqlalchemy import make_url
from typer.main import get_command

from chappe.cli.main import app
from chappe.fleet.parent import refuse_lonely_stores
from chappe.settings import ENV_PREFIX, Settings, load
from deploy.services import STORES, cassandra, postgres
from deploy.services.java import CASSANDRA, POM

from .dockerfile import instructions

DEPLOY = Path(__file__).parents[2] / "deploy"
FILE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def test_it_has_the_same_services_as_without_docker() -> None:
    assert set(SERVICES) - set(OURS) == set(STORES)


@pytest.mark.parametrize("name", STORES)
def test_versions_are_pinned_to_the_last_number(name: str) -> None:
    assert re.fullmatch(rf"{name}:\d+(\.\d+){{1,2}}(-[a-z]+)?", SERVICES[name]["image"])


def test_versions_are_those_that_the_code_uses() -> None:
    assert SERVICES["cassandra"]["image"] == f"cassandra:{CASSANDRA}"
    assert f"<version>{CASSANDRA}</version>" in POM.read_text()
    assert SERVICES["postgres"]["image"].startswith(f"postgres:{postgres.OLDEST}.")


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


def test_ports_are_those_of_the_settings_and_the_image() -> None:
    port = str(Settings().gateway.port)
    assert OURS["chappe"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert [words for name, words in instructions(DEPLOY / "Dockerfile") if name == "EXPOSE"] == [port]


def settings_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings that a container of ours has, those of the image among them."""
    environment = image_environment() | OURS[name]["environment"]
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value.replace("${POSTGRES_PASSWORD}", "secret"))
    return load()


def image_environment() -> dict[str, str]:
    words = [
        word
        for name, line in instructions(DEPLOY / "Dockerfile")
        if name == "ENV"
        for word in shlex.split(line)
    ]
    pairs = dict(word.split("=", 1) for word in words)
    return {name: value for name, value in pairs.items() if name.startswith(ENV_PREFIX)}


@pytest.mark.parametrize("name", OURS)
def test_our_environment_is_one_that_the_settings_take(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(variable.startswith(ENV_PREFIX) for variable in OURS[name]["environment"])
    database = SERVICES["postgres"]["environment"]["POSTGRES_DB"]
    settings = settings_of(name, monkeypatch)
    assert settings.stores.users_url == f"postgresql+psycopg://postgres:secret@postgres:5432/{database}"
    assert (settings.stores.messages, settings.cassandra.hosts) == ("cassandra", ("cassandra",))
    assert settings.bus.url == "redis://redis:6379"


def test_whoever_migrates_and_whoever_serves_have_the_same_settings() -> None:
    assert OURS["migrate"]["environment"] == OURS["chappe"]["environment"]


def test_the_stores_are_such_as_several_nodes_can_share(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of("chappe", monkeypatch)
    several = settings.gateway.model_copy(update={"workers": 2})
    refuse_lonely_stores(settings.model_copy(update={"gateway": several}))


def test_the_addresses_are_those_of_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of("chappe", monkeypatch)
    users, bus = make_url(settings.stores.users_url or ""), urlsplit(settings.bus.url or "")
    named = {
        (str(users.host), users.port),
        *((host, settings.cassandra.port) for host in settings.cassandra.hosts),
        (bus.hostname, bus.port),
    }
    listening = {(name, int(port.rsplit(":", 1)[1])) for name in STORES for port in SERVICES[name]["ports"]}
    assert named == listening


def test_there_are_as_many_copies_as_nodes_of_cassandra(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of("migrate", monkeypatch)
    assert settings.cassandra.replicas == len(settings.cassandra.hosts) == 1


def test_a_node_starts_when_its_services_are_healthy_and_migrated() -> None:
    healthy = {"condition": "service_healthy"}
    assert OURS["migrate"]["depends_on"] == {"postgres": healthy, "cassandra": healthy}
    done = {"migrate": {"condition": "service_completed_successfully"}}
    assert OURS["chappe"]["depends_on"] == dict.fromkeys(STORES, healthy) | done


def test_our_commands_exist() -> None:
    known: Any = get_command(app)
    assert [OURS["migrate"]["command"]] == [["migrate"]]
    assert "migrate" in known.commands


def test_a_node_has_the_time_that_its_settings_give_it() -> None:
    timing = Settings().timing
    assert seconds(OURS["chappe"]["stop_grace_period"]) > timing.drain_s + timing.stop_s
    assert OURS["chappe"]["ulimits"]["nofile"] > 2 * Settings().limits.connections


def test_a_node_gets_no_rights_that_it_does_not_need() -> None:
    node = OURS["chappe"]
    assert node["read_only"] is True
    assert node["cap_drop"] == ["ALL"]
    assert node["security_opt"] == ["no-new-privileges:true"]
    [volume] = node["volumes"]
    assert volume.split(":")[1] in [
        words for name, words in instructions(DEPLOY / "Dockerfile") if name == "VOLUME"
    ]


def test_everything_is_waited_for_and_whatever_is_waited_for_says_when() -> None:
    for service in SERVICES.values():
        for name, wish in service.get("depends_on", {}).items():
            if wish["condition"] == "service_healthy":
                assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
            else:
                assert wish["condition"] == "service_completed_successfully"
                assert SERVICES[name].get("restart") is None
    assert all("healthcheck" in SERVICES[name] for name in STORES)


def test_volumes_are_declared() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert used == set(FILE["volumes"])


def test_a_lone_cassandra_answers_after_the_disk_has_it() -> None:
    options = dict(
        word.removeprefix("-Dcassandra.settings.").split("=")
        for word in shlex.split(SERVICES["cassandra"]["environment"]["JVM_EXTRA_OPTS"])
    )
    ours = yaml.safe_load(
        cassandra.CONFIGURATION.format(host="h", seeds="s", token=0, port=1, storage_port=2, folder="f")
    )
    assert options.pop("-Dcassandra.config.allow_system_properties") == "true"
    assert (
        options.pop("commitlog_sync_period") == "0ms"
    )  # the image's file sets one, and both together are refused
    assert options == {key: ours[key] for key in ("commitlog_sync", "commitlog_sync_group_window")}


def test_settings_of_postgres_are_the_same() -> None:
    assert f"max_connections={postgres.CONNECTIONS}" in SERVICES["postgres"]["command"]
    assert "--auth=scram-sha-256" in SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]


def seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)(s|m)", text)
    assert found is not None
    return int(found[1]) * {"s": 1, "m": 60}[found[2]]

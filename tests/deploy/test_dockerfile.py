"""The image is made of pinned parts, runs without rights, and starts a command that exists."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from chappe.cli.main import app
from chappe.settings import ENV_PREFIX, Settings, load

from .dockerfile import instructions

ROOT = Path(__file__).parents[2]
FILE = instructions(ROOT / "deploy" / "Dockerfile")
KNOWN = """
    FROM RUN COPY ENV USER WORKDIR VOLUME EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD
""".split()  # noqa: SIM905 - reads better


def all_of(name: str) -> list[str]:
    return [words for instruction, words in FILE if instruction == name]


def final() -> list[tuple[str, str]]:
    """Return the last stage, which is the image."""
    start = max(number for number, (name, _) in enumerate(FILE) if name == "FROM")
    return FILE[start:]


def test_every_line_is_an_instruction() -> None:
    assert {name for name, _ in FILE} <= set(KNOWN)


def test_the_base_is_slim_pinned_and_the_same_in_both_stages() -> None:
    bases = [words.split()[0] for words in all_of("FROM")]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.1[1-9]\.\d+-slim-[a-z]+", bases[0])


def test_everything_installed_is_pinned_by_hash_or_built_here() -> None:
    for words in all_of("RUN"):
        for command in words.split("&&"):
            if "pip install" in command:
                assert "--require-hashes" in command or "--no-deps dist/" in command, command
            if "pip wheel" in command:
                assert "--no-build-isolation" in command, command
            assert "apt-get" not in command
            assert "curl" not in command


def test_what_is_copied_is_there_and_let_through() -> None:
    ignore = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignore
    let_through = {path for line in ignore if line.startswith("!") for path in ROOT.glob(line[1:])}
    for words in all_of("COPY"):
        if words.startswith("--from="):
            continue
        for source in words.split()[:-1]:
            path = ROOT / source
            assert path.exists(), source
            assert path in let_through, source


def test_nothing_secret_is_let_through() -> None:
    ignore = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    named = {line[1:].split("/")[0] for line in ignore if line.startswith("!")}
    assert named.isdisjoint({"var", ".git", ".venv", "config", "tests", "deploy"})


def test_it_runs_as_nobody_in_particular() -> None:
    [user] = [words for name, words in final() if name == "USER"]
    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", user)  # by number: Kubernetes cannot check a name
    names = [name for name, _ in final()]
    assert names.index("USER") > names.index("RUN")
    assert "RUN" not in names[names.index("USER") :]


def test_it_starts_a_command_that_exists() -> None:
    [entry] = [json.loads(words) for name, words in final() if name == "ENTRYPOINT"]
    [command] = [json.loads(words) for name, words in final() if name == "CMD"]
    known: Any = get_command(app)
    assert entry == ["chappe"]
    assert command[0] in known.commands


def test_its_settings_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    [words] = [words for name, words in final() if name == "ENV"]
    pairs = dict(word.split("=", 1) for word in words.split())
    ours = {key: value for key, value in pairs.items() if key.startswith(ENV_PREFIX)}
    assert ours
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    settings = load()
    assert settings.gateway.host == "0.0.0.0"
    assert str(settings.stores.data) in all_of("VOLUME")
    assert settings.http.host == Settings().http.host == "127.0.0.1"


def test_its_health_is_asked_where_a_node_answers() -> None:
    [words] = all_of("HEALTHCHECK")
    program = json.loads(words.partition("CMD ")[2])
    assert program[:2] == ["python", "-c"]
    ast.parse(program[2])
    assert f"http://127.0.0.1:{Settings().http.port}/healthz" in program[2]

"""`chappe-chaos`: what it prints, how it ends, and that every scenario says what it should."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import urlopen

import pytest
from msgspec import structs
from typer.testing import CliRunner

from chaos import bugs, cli, needs
from chaos.cli import app
from chaos.outcome import Check, Firing, Outcome
from chaos.runner import Order
from chaos.scenario import Scenario, load_all
from chaos.stack.node import free_port
from deploy.alerts import alerts
from deploy.services import Unavailable

SCENARIOS = load_all()


def invoke(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def made_up(name: str, *, is_kept: bool = True, skipped: str | None = None) -> Outcome:
    return Outcome(
        scenario=name,
        title="Something breaks",
        hypothesis="It <holds>.",
        blast_radius="Nobody.",
        seed=1,
        began_ms=1000,
        ended_ms=2000,
        checks=(Check("history check", is_kept, "KEPT" if is_kept else "NOT KEPT"),),
        skipped=skipped,
    )


def test_there_are_enough_scenarios_and_each_says_what_it_is_about() -> None:
    assert len(SCENARIOS) >= 15
    assert 4 <= sum(scenario.is_quick for scenario in SCENARIOS.values()) <= 8
    for scenario in SCENARIOS.values():
        for text in (scenario.title, scenario.hypothesis, scenario.blast_radius):
            assert len(text) > 5, scenario.name
        assert scenario.hypothesis.endswith(".")
        assert 0 <= scenario.passes.availability < 1


def test_the_list_names_all_of_them() -> None:
    code, printed = invoke("list", "--json")
    assert code == 0
    assert [json.loads(line)["name"] for line in printed.splitlines()] == list(SCENARIOS)
    assert invoke("list")[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run"], "--all"),
        (["run", "no-such-thing"], "no-such-thing"),
        (["run", "node-killed", "--plant", "no-such-bug"], ", ".join(bugs.names())),
        (["report", "/nonexistent"], "There are no runs"),
    ],
)
def test_a_wrong_command_line_says_what_would_be_right(words: list[str], says: str) -> None:
    code, printed = invoke(*words)
    assert code == 2
    assert says in printed


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([made_up("one")], 0),
        ([made_up("one"), made_up("two", is_kept=False)], 1),
        ([made_up("one"), made_up("two", skipped="It needs root.")], 0),
        ([made_up("two", skipped="It needs root.")], 3),
    ],
)
def test_the_exit_code_is_the_worst_of_all(
    outcomes: list[Outcome], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(cli.REQUIRED, raising=False)
    left = iter(outcomes)
    monkeypatch.setattr(cli, "_carry_out", lambda _order: next(left))
    names = ["node-killed", "disk-full"][: len(outcomes)]
    assert invoke("run", *names, "--folder", tmp_path)[0] == code


def test_prometheus_is_told_what_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    port = free_port()
    seen = []

    def look(_order: object) -> Outcome:
        with urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            seen.append('chappe_chaos_scenario{scenario="node-killed"} 1.0' in page.read().decode())
        return made_up("one")

    monkeypatch.setattr(cli, "_carry_out", look)
    assert invoke("run", "node-killed", "--announce", port, "--folder", tmp_path)[0] == 0
    assert seen == [True]


def test_where_nothing_may_be_wanting_a_skip_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(cli.REQUIRED, "1")
    outcomes = iter([made_up("one"), made_up("two", skipped="It needs root.")])
    monkeypatch.setattr(cli, "_carry_out", lambda _order: next(outcomes))
    code, printed = invoke("run", "node-killed", "disk-full", "--folder", tmp_path)
    assert code == 3
    assert "It needs root." in printed


def test_a_scenario_without_its_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Path:
        raise Unavailable("install Go")

    monkeypatch.setattr(needs, "CHECKS", {"toxiproxy": gone})
    monkeypatch.setattr(needs, "WATCHERS", ())
    proxied: Scenario = SCENARIOS["slow-network"]
    assert needs.lacking(proxied) == "install Go"
    assert needs.lacking(SCENARIOS["node-killed"]) is None


def test_without_a_prometheus_nothing_can_be_said_to_be_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    says = "Prometheus is not installed; on Debian: apt-get install prometheus."
    assert {needs.lacking(scenario) for scenario in SCENARIOS.values()} == {says}


def test_promised_alerts_are_rules() -> None:
    rules = {f"{alert.severity} {alert.name}" for alert in alerts()}
    promised = [set(scenario.alerts) for scenario in SCENARIOS.values() if scenario.alerts]
    assert len(promised) >= 3
    assert set().union(*promised) <= rules


def test_what_takes_long_runs_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran = []

    def note(order: Order) -> Outcome:
        ran.append((order.scenario.name, order.seed))
        return made_up("one")

    monkeypatch.setattr(cli, "_carry_out", note)
    words = ["node-killed", "ten-healthy-minutes", "--runs", 2, "--seed", 7, "--folder", tmp_path]
    assert invoke("run", *words)[0] == 0
    assert ran == [("node-killed", 7), ("node-killed", 8), ("ten-healthy-minutes", 7)]
    assert not SCENARIOS["ten-healthy-minutes"].is_quick


def test_alerts_that_fired_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fired = (Firing("page SendsFail", 1000, 4000), Firing("ticket SendsFail", 1500))
    monkeypatch.setattr(cli, "_carry_out", lambda _order: structs.replace(made_up("one"), alerts=fired))
    _, printed = invoke("run", "node-killed", "--folder", tmp_path)
    assert "alerts: page SendsFail 3 s, ticket SendsFail still" in printed
    _, printed = invoke("run", "node-killed", "--folder", tmp_path, "--json")
    assert json.loads(printed)["alerts"] == [
        {"alert": "page SendsFail", "from_ms": 1000, "to_ms": 4000},
        {"alert": "ticket SendsFail", "from_ms": 1500, "to_ms": None},
    ]


def test_a_report_is_whole_in_itself(tmp_path: Path) -> None:
    for outcome in (made_up("one"), made_up("two", is_kept=False)):
        folder = tmp_path / outcome.scenario
        (folder / "histories").mkdir(parents=True)
        outcome.write(folder)
    code, printed = invoke("report", tmp_path)
    assert (code, printed.strip()) == (0, str(tmp_path / "index.html"))
    index = (tmp_path / "index.html").read_text()
    assert "1 of 2 runs" in index
    page = (tmp_path / "one" / "report.html").read_text()
    assert "It &lt;holds&gt;." in page
    for text in (index, page):
        assert "http" not in text
        assert "<script" not in text
    code, printed = invoke("report", tmp_path, "--markdown")
    assert "| one | Something breaks | 1 | kept |" in printed

"""Prometheus' own promtool on the rules: each alert fires for what it names and is silent for what is normal."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from chappe.cli.metrics import catalogue
from deploy.alerts import FILE, OBJECTIVES, Alert, Pace, alerts, rendered
from deploy.alerts.__main__ import main

from ..services import leave_out

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
ALERTS = alerts()
AT = 'job="chappe",instance="n/w",node="n",worker="w"'

Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """Series in promtool's notation, under which an alert fires at a time, and others under which it does not."""

    firing: Series
    silent: tuple[Series, ...]
    at: str = "10m"
    interval: str = "1m"
    labels: dict[str, str] = field(default_factory=dict)


def sends(ok: str, failed: str, refused: str = "0x4000") -> Series:
    return {
        f'chappe_sends_total{{{AT},outcome="ok"}}': ok,
        f'chappe_sends_total{{{AT},outcome="failed"}}': failed,
        f'chappe_sends_total{{{AT},outcome="refused"}}': refused,
    }


def history(ok: str, failed: str, other: str = "0x4000") -> Series:
    return {
        f'chappe_calls_total{{{AT},call="history.get",outcome="ok"}}': ok,
        f'chappe_calls_total{{{AT},call="history.get",outcome="failed"}}': failed,
        f'chappe_calls_total{{{AT},call="users.get",outcome="failed"}}': other,
        f'chappe_calls_total{{{AT},call="history.get",outcome="refused"}}': other,
    }


def deliveries(within: str, all_: str) -> Series:
    return {
        f'chappe_delivery_seconds_bucket{{{AT},le="1.0"}}': within,
        f"chappe_delivery_seconds_count{{{AT}}}": all_,
    }


def one(name: str, values: str, **labels: str) -> Series:
    more = "".join(f',{key}="{value}"' for key, value in labels.items())
    return {f"{name}{{{AT}{more}}}": values}


def headroom(left: str, supervisor: str = "node") -> Series:
    return one("chappe_supervisor_headroom_restarts", left, supervisor=supervisor) | one(
        "chappe_supervisor_intensity_restarts", "10x10", supervisor=supervisor
    )


def lag(early: str, all_: str) -> Series:
    buckets = {"0.25": early, "0.5": all_, "+Inf": all_}
    return {
        key: values
        for le, values in buckets.items()
        for key, values in one("chappe_event_loop_lag_seconds_bucket", values, le=le).items()
    }


def operations(ok: str, failed: str, outcome: str = "unavailable") -> Series:
    about = {"store": "users", "operation": "device"}
    return one("chappe_store_operation_seconds_count", ok, outcome="ok", **about) | one(
        "chappe_store_operation_seconds_count", failed, outcome=outcome, **about
    )


def appends(quick: str, all_: str, operation: str = "append") -> Series:
    about = {"store": "messages", "operation": operation, "outcome": "ok"}
    return (
        one("chappe_store_operation_seconds_bucket", quick, le="1.0", **about)
        | one("chappe_store_operation_seconds_bucket", all_, le="2.5", **about)
        | one("chappe_store_operation_seconds_bucket", all_, le="+Inf", **about)
    )


def pair(name: str, value: str, other: str, bound: str) -> Series:
    return one(name, value) | one(other, bound)


DAYS = {"at": "27h", "interval": "5m"}
CERTIFICATE = "chappe_tls_certificate_expiry_timestamp_seconds"  # promtool's time begins at 0
CASES = {
    ("SendsFail", "page"): Case(
        sends("0+95x120", "0+5x120"),
        (
            sends("0+100x120", "0x120", "0+500x120"),  # a flood of refused ones
            sends("0+100x120", "0+0.2x120"),  # worth a ticket
            sends("0+95x50 4750+100x70", "0+5x50 250x70"),  # over for half an hour
            sends("0x120", "0x120"),  # nobody writes
        ),
        at="89m",
    ),
    ("SendsFail", "ticket"): Case(sends("0+998x330", "0+2x330"), (sends("0+9997x330", "0+3x330"),), **DAYS),
    ("DeliveriesAreLate", "page"): Case(
        deliveries("0+95x120", "0+100x120"),
        (
            deliveries("0+100x120", "0+100x120"),
            deliveries("0+99.8x120", "0+100x120"),
            deliveries("0x9", "0x9"),
        ),
        at="89m",
    ),
    ("DeliveriesAreLate", "ticket"): Case(
        deliveries("0+996x330", "0+1000x330"), (deliveries("0+9995x330", "0+10000x330"),), **DAYS
    ),
    ("HistoryFails", "page"): Case(
        history("0+95x120", "0+5x120"), (history("0+100x120", "0x120", "0+50x120"),), at="89m"
    ),
    ("HistoryFails", "ticket"): Case(
        history("0+996x330", "0+4x330"), (history("0+9995x330", "0+5x330"),), **DAYS
    ),
    ("NodeDown", "page"): Case(one("up", "1x5 0x9"), (one("up", "1x20"), one("up", "1x9 0x1"))),
    ("NoNodes", "page"): Case({'up{job="other"}': "1x20"}, (one("up", "0x20"),)),
    ("WorkersMissing", "ticket"): Case(
        pair("chappe_workers", "4x3 3x9", "chappe_workers_wanted", "4x20"),
        (pair("chappe_workers", "4x7 3x1 4x5", "chappe_workers_wanted", "4x20"),),
    ),
    ("ChildRestarts", "ticket"): Case(
        one("chappe_child_restarts_total", "0 1 2 3 4 5 5x9", child="node/bus"),
        (
            one("chappe_child_restarts_total", "0 1 1x20", child="node/bus"),
            one("chappe_child_restarts_total", "0+5x20", child="node/connections/*/session/pump"),
        ),
    ),
    ("HeadroomSmall", "page"): Case(
        headroom("10x5 3x9"), (headroom("4x20"), headroom("0x20", "node/connections/*/session"))
    ),
    ("SupervisorGaveUp", "ticket"): Case(
        one("chappe_supervisors_gave_up_total", "0x5 1x20", supervisor="node/log-writers"),
        (
            one("chappe_supervisors_gave_up_total", "0x20", supervisor="node/log-writers"),
            one("chappe_supervisors_gave_up_total", "0+1x20", supervisor="node/connections/*/session"),
        ),
    ),
    ("ChildStuck", "ticket"): Case(
        one("chappe_children_stuck_now", "0x5 1x9", child="node/expiry"),
        (one("chappe_children_stuck_now", "0x20", child="node/expiry"),),
    ),
    ("EventLoopLate", "ticket"): Case(lag("0+40x20", "0+60x20"), (lag("0+59x20", "0+60x20"),), at="15m"),
    ("ClockSkew", "page"): Case(
        one("chappe_clock_skew_seconds", "-0.4x20"),
        (one("chappe_clock_skew_seconds", "-0.1x20"), one("chappe_clock_ahead_seconds", "0x20")),
    ),
    ("StoreErrors", "ticket"): Case(
        operations("0+90x20", "0+10x20"),
        (operations("0+90x20", "0+10x20", "refused"), operations("0+999x20", "0+1x20")),
    ),
    ("StoreSlow", "ticket"): Case(
        appends("0+90x30", "0+100x30"),
        (appends("0+100x30", "0+100x30"), appends("0+90x30", "0+100x30", "account")),
        at="20m",
    ),
    ("CassandraNodeDown", "ticket"): Case(
        pair("chappe_store_nodes_up", "3x3 2x9", "chappe_store_nodes", "3x20"),
        (pair("chappe_store_nodes_up", "3x20", "chappe_store_nodes", "3x20"),),
    ),
    ("BusDown", "ticket"): Case(one("chappe_bus_up", "1x5 0x9"), (one("chappe_bus_up", "1x20"),)),
    ("BusGaps", "ticket"): Case(
        one("chappe_bus_holes_total", "0+2x20"), (one("chappe_bus_holes_total", "0x5 1x20"),)
    ),
    ("LogQueueNearlyFull", "page"): Case(
        one("chappe_log_queue_max_ratio", "0.95x20"), (one("chappe_log_queue_max_ratio", "0.5x20"),)
    ),
    ("ConnectionsNearlyFull", "ticket"): Case(
        pair("chappe_connections", "19000x20", "chappe_connections_limit", "20000x20"),
        (pair("chappe_connections", "9000x20", "chappe_connections_limit", "20000x20"),),
    ),
    ("FilesNearlyFull", "ticket"): Case(
        pair("process_open_fds", "1000x20", "process_max_fds", "1024x20"),
        (pair("process_open_fds", "100x20", "process_max_fds", "1024x20"),),
    ),
    ("DiskNearlyFull", "page"): Case(
        pair("chappe_data_free_bytes", "4x20", "chappe_data_size_bytes", "100x20"),
        (pair("chappe_data_free_bytes", "10x20", "chappe_data_size_bytes", "100x20"),),
    ),
    ("DiskNearlyFull", "ticket"): Case(
        pair("chappe_data_free_bytes", "10x20", "chappe_data_size_bytes", "100x20"),
        (pair("chappe_data_free_bytes", "50x20", "chappe_data_size_bytes", "100x20"),),
    ),
    ("CertificateEnds", "page"): Case(one(CERTIFICATE, "172800x20"), (one(CERTIFICATE, "864000x20"),)),
    ("CertificateEnds", "ticket"): Case(one(CERTIFICATE, "864000x20"), (one(CERTIFICATE, "8640000x20"),)),
}


@pytest.fixture(scope="module", autouse=True)
def _has_promtool() -> None:
    if shutil.which("promtool") is None:
        leave_out("promtool is not installed; on Debian: apt-get install prometheus.")


def promtool(*words: object) -> None:
    done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_is_current() -> None:
    assert FILE.read_text() == rendered(), "run .venv/bin/python -m deploy.alerts --write"


@pytest.mark.parametrize("pace", [1, 60])
def test_promtool_accepts_the_rules(pace: int, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(rendered(Pace(pace)))
    promtool("check", "rules", "--lint-fatal", file)


def test_every_alert_has_a_case() -> None:
    assert sorted(CASES) == sorted((alert.name, alert.severity) for alert in ALERTS)


@pytest.mark.parametrize(
    ("key", "case"), CASES.items(), ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_it_fires_for_what_it_names_and_for_nothing_else(
    key: tuple[str, str], case: Case, tmp_path: Path
) -> None:
    name, severity = key
    firing = f'count(ALERTS{{alertname="{name}",severity="{severity}",alertstate="firing"}})'

    def test(series: Series, expected: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "interval": case.interval,
            "input_series": [{"series": one, "values": values} for one, values in series.items()],
            "promql_expr_test": [{"expr": firing, "eval_time": case.at, "exp_samples": expected}],
        }

    tests = [test(case.firing, [{"labels": "{}", "value": 1}]), *(test(series, []) for series in case.silent)]
    file = tmp_path / "test.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": case.interval, "tests": tests})
    )
    promtool("test", "rules", file)


def test_what_is_left_of_the_budget(tmp_path: Path) -> None:
    # Of 10,000 messages one failed, a fifth of what the objective allows.
    series = sends("0+999.9x120", "0+0.1x120")
    left = {"labels": 'slo:error_budget_left:ratio{job="chappe",slo="send"}', "value": 0.8}
    file = tmp_path / "test.yml"
    test = {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'round(slo:error_budget_left:ratio{slo="send"}, 0.001)',
                "eval_time": "90m",
                "exp_samples": [left | {"labels": '{job="chappe",slo="send"}'}],
            }
        ],
    }
    file.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", file)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert.name}-{alert.severity}")
def test_each_alert_says_what_to_do(alert: Alert) -> None:
    assert alert.severity in {"page", "ticket"}
    assert re.search(rf"^## {alert.name}$", RUNBOOK, re.MULTILINE), "docs/runbook.md has no such section"
    assert alert.summary.endswith(".")
    assert alert.description.endswith(".")


def test_each_section_of_the_runbook_is_of_an_alert_and_complete() -> None:
    sections = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]
    named = {section.partition("\n")[0]: " ".join(section.split()) for section in sections}
    assert set(named) - {"When an alert comes"} == {alert.name for alert in ALERTS}
    for alert in ALERTS:
        for part in ("**People:**", "**First look:**", "**Do:**", "**Escalate:**"):
            assert part in named[alert.name], (alert.name, part)


def test_every_metric_in_the_rules_exists() -> None:
    rules = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    known = {name for family in catalogue() for name in family.names} | recorded | {"up"}
    assert len(known) > 60
    for rule in rules:
        used = set(
            re.findall(r"\b(?:chappe_|process_|slo:|up\b)[a-z0-9_:]*", re.sub(r'"[^"]*"', "", rule["expr"]))
        )
        assert used or rule["record"] == "slo:objective:ratio"
        assert used <= known, rule


def test_every_query_of_the_runbook_is_of_metrics_that_exist(tmp_path: Path) -> None:
    known = {name for family in catalogue() for name in family.names}
    queries = re.findall(r"^```promql\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert len(queries) >= len({alert.name for alert in ALERTS}) // 2
    for query in queries:
        assert set(re.findall(r"\b(?:chappe|process)_[a-z_]+", re.sub(r'"[^"]*"', "", query))) <= known, query
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbook", "rules": rules}]}))
    promtool("check", "rules", file)


@pytest.mark.parametrize(
    ("factor", "there"), [(1, "5m"), (60, "5s"), (60, "30s"), (60, "1h12m"), (300, "1s"), (7, "43s")]
)
def test_a_pace_cuts_all_time(factor: float, there: str) -> None:
    durations = {Pace(factor)(window) for window in ("5m", "30m", "3d")}
    assert there in durations


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pace", "60", "--runbook", "https://wiki.example/x"]) == 0
    rules = capsys.readouterr().out
    assert "[5s]" in rules
    assert '"https://wiki.example/x#sendsfail"' in rules
    for words in (["--pace", "0"], ["--pace", "1000"], ["--pace", "fast"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2


def test_the_objectives_are_those_of_the_documents() -> None:
    shares = [f"{objective.share * 100:g}%" for objective in OBJECTIVES]
    assert shares == ["99.95%", "99.9%", "99.9%"]
    table = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for text in (RUNBOOK, table):
        assert [found for found in re.findall(r"\b99\.\d+%", text) if found in shares][:3] == shares


def test_promtool_accepts_the_configuration() -> None:
    promtool("check", "config", ROOT / "config" / "prometheus" / "prometheus.yml")


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "SendsFail", "slo": "send", "severity": "page"}, "pages"),
        ({"alertname": "SendsFail", "slo": "send", "severity": "ticket"}, "tickets"),
        ({"alertname": "BusDown", "severity": "ticket"}, "tickets"),
        ({"alertname": "SomethingElse"}, "tickets"),
    ],
)
def test_alerts_go_where_their_severity_says(labels: dict[str, str], receiver: str) -> None:
    if shutil.which("amtool") is None:
        leave_out("amtool is not installed; on Debian: apt-get install prometheus-alertmanager.")
    file = ROOT / "config" / "alertmanager" / "alertmanager.yml"
    words = [f"{key}={value}" for key, value in labels.items()]
    for command in (
        ["check-config", str(file)],
        ["config", "routes", "test", f"--config.file={file}", f"--verify.receivers={receiver}", *words],
    ):
        done = subprocess.run(["amtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

"""The file of a history: what was written is read back, whenever the writer was killed; and the command."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.history import Finish, Invoke, Page, Read, Record, Recorder, Row, Shown, Start, Tick, load
from chappe.history.__main__ import main

RECORDS: list[Record] = [
    Start(user="a", device="a1", at_ms=7),
    Invoke(conv="c", to="b", text="grüße", answers="01", at_ms=7),
    Tick(conv="c", text="grüße", state="failed", reason="forbidden", at_ms=7),
    Shown(conv="c", id="02", device="b1", text="yes", at_ms=7),
    Read(conv="c", id="02", at_ms=7),
    Finish(pages=(Page(conv="c", rows=(Row(text="yes", device="b1", id="02"),)),), at_ms=7),
]


def write(path: Path) -> None:
    with Recorder(path, lambda: 7) as recorder:
        for record in RECORDS:
            recorder.write(record)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "alice.jsonl"
    write(path)
    history = load(path)
    assert history.name == "alice"
    assert list(history.records) == RECORDS
    assert list(history.each(Read)) == [(5, RECORDS[4])]


@given(cut=st.integers(min_value=0))
def test_a_kill_in_the_middle_of_a_line_costs_that_line_only(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("history") / "alice.jsonl"
    write(path)
    whole = path.read_bytes()
    kept = whole[: cut % (len(whole) + 1)]
    path.write_bytes(kept)
    survivors = RECORDS[: kept.count(b"\n")]
    assert list(load(path).records) == survivors
    write(path)
    assert list(load(path).records) == survivors + RECORDS


def test_a_damaged_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "alice.jsonl"
    path.write_bytes(b'{"what":"dream"}\n')
    with pytest.raises(msgspec.DecodeError, match="dream"):
        load(path)


def test_the_command_prints_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Recorder(tmp_path / "alice.jsonl", lambda: 7) as recorder:
        recorder.write(Start(user="a", device="a1"))
        assert main([str(tmp_path)]) == 1
        assert "unfinished" in capsys.readouterr().out
        recorder.write(Finish(pages=()))
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("KEPT: 1 devices")


@pytest.mark.parametrize("arguments", [[], ["nowhere"], ["a", "b"]])
def test_the_command_says_how_to_use_it(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "Usage" in capsys.readouterr().err

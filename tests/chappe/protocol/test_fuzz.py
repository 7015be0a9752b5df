"""The fuzz run itself: a short stretch of it passes, and a fault would be found, saved and told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from chappe.protocol import session

from . import fuzz


def test_a_short_stretch() -> None:
    seen: Counter[str] = Counter()
    for number in range(300):
        fuzz.check(Random(number), seen, [])
    assert seen["accepted"]
    assert seen["refused with 4400"]


def test_a_planted_fault_is_found_and_saved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def decode(data: bytes, max_bytes: int) -> list[object]:
        raise RecursionError("planted")

    monkeypatch.setattr(session, "decode", decode)
    with pytest.raises(RecursionError):
        fuzz.check(Random(1), Counter(), [])
    assert fuzz.run(3600, seed=1, folder=tmp_path) == fuzz.MAX_FINDINGS
    assert len(list(tmp_path.glob("seed-1-round-*-message-0.bin"))) > 0
    assert "verdict: FAILED" in capsys.readouterr().out

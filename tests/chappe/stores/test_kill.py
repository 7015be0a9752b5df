"""SIGKILL at any moment: everything acknowledged is there afterwards, once, and the newest id is known."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from chappe.ids import FIRST_ID
from chappe.stores.sqlite.messages import open_message_store

from .appender import CONV, DEVICE


def run_and_kill(path: Path, after_lines: int) -> list[str]:
    """Return the ids that were acknowledged; the last line may have been cut short by the kill."""
    command = [sys.executable, "-m", "tests.chappe.stores.appender", str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as process:
        assert process.stdout is not None
        lines = "".join(process.stdout.readline() for _ in range(after_lines))
        process.kill()
        lines += process.stdout.read()
    return [word for line in lines.splitlines(keepends=True) if line.endswith("\n") for word in line.split()]


async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    chance = random.Random(4)
    acknowledged: list[str] = []
    for _ in range(5):
        acknowledged += run_and_kill(tmp_path / "log", chance.randrange(1, 120))
        async with open_message_store(tmp_path / "log") as store:
            heard = [row.id.hex() for row in await store.inbox(DEVICE, FIRST_ID, 1_000_000)]
            said = [row.id.hex() for row in await store.history(CONV, None, 1_000_000)]
            assert set(acknowledged) <= set(heard)
            assert heard == said[::-1]
            assert len(set(heard)) == len(heard)
            assert (await store.newest_id()).hex() == heard[-1]
    assert len(acknowledged) > 500

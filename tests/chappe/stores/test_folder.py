"""The data folder belongs to one process."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chappe.errors import DataFolderInUse
from chappe.stores.folder import open_data_folder

HOLD = """
import sys, time
from pathlib import Path
from chappe.stores.folder import open_data_folder
with open_data_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_it_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    with open_data_folder(tmp_path / "a" / "data") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "file").write_text("kept")
    with open_data_folder(tmp_path / "a" / "data") as folder:
        assert (folder / "file").read_text() == "kept"


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataFolderInUse, match=str(holder.pid)), open_data_folder(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with open_data_folder(tmp_path):
            pass

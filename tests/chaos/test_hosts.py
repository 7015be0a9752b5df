"""Hosts in network namespaces and disks: there for a run, and gone with it, whoever ended."""

from __future__ import annotations

import errno
import subprocess
import time
from pathlib import Path

import pytest

from chaos.journal import Journal
from chaos.stack import disk, hosts
from chaos.stack.hosts import Network
from chaos.undo import DeleteNamespace, Unmount
from deploy.services import Unavailable


def links() -> str:
    return subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout


def reaches(*words: str) -> bool:
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 9), 2)"
    done = subprocess.run(
        [*words[:-1], "python3", "-c", connect, words[-1]], capture_output=True, check=False
    )
    return b"ConnectionRefusedError" in done.stderr  # somebody is there to refuse


@pytest.mark.system
def test_hosts_reach_each_other_and_a_rollback_leaves_nothing(tmp_path: Path) -> None:
    try:
        hosts.check()
    except Unavailable as lacking:
        pytest.skip(str(lacking))  # rights cannot be installed
    network = Network.unused(2)
    journal = Journal.begin(tmp_path)
    for namespace in network.namespaces:
        journal.intend(DeleteNamespace(namespace))
    try:
        network.make()
        (one, first), (two, _) = network.hosts.items()
        assert network.switch in links()
        assert reaches(one)
        assert reaches("ip", "netns", "exec", first, two)
    finally:
        assert Journal.load(journal.path).roll_back() == []  # as after a kill: from the file alone
    assert not any(Path("/run/netns", name).exists() for name in network.namespaces)
    deadline = time.monotonic() + 30.0
    while network.switch in links():  # the kernel takes a namespace's lines away a little later
        assert time.monotonic() < deadline, links()
        time.sleep(0.02)


@pytest.mark.system
def test_a_small_disk_gets_full_and_is_gone_after_a_rollback(tmp_path: Path) -> None:
    try:
        disk.check()
    except Unavailable as lacking:
        pytest.skip(str(lacking))  # rights cannot be installed
    folder = tmp_path / "data"
    journal = Journal.begin(tmp_path / "run")
    journal.intend(Unmount(str(folder)))
    try:
        disk.mount(folder, 1)
        with pytest.raises(OSError, match="No space left") as full:
            (folder / "file").write_bytes(bytes(2_000_000))
        assert full.value.errno == errno.ENOSPC
    finally:
        assert Journal.load(journal.path).roll_back() == []
    assert not folder.is_mount()

"""Hosts in network namespaces and disks: what breaks them does, and a rollback leaves nothing, whoever ended."""

from __future__ import annotations

import errno
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.faults.hosts import cut_from_peers, cut_off, lossy, thin
from chaos.journal import Journal
from chaos.lab import Lab, Site
from chaos.services import services as lend_services
from chaos.stack import disk, hosts
from chaos.stack.hosts import Network
from chaos.undo import DeleteNamespace, InNamespace, Unmount
from deploy.services import Cassandra, Unavailable
from deploy.services.cql import ONE, QUORUM, ask
from tests.services import leave_out

REQUEST = "SELECT view_name FROM system_distributed.view_build_status LIMIT 1"


@pytest.fixture
def possible() -> None:
    try:
        hosts.check()
    except Unavailable as lacking:
        pytest.skip(str(lacking))  # rights cannot be installed


@pytest.fixture
def network(tmp_path: Path, possible: None) -> Iterator[Network]:
    """Three hosts. They go as after a kill: by what the journal's file says."""
    network = Network.unused(3)
    journal = Journal.begin(tmp_path / "network")
    for namespace in network.namespaces:
        journal.intend(DeleteNamespace(namespace))
    try:
        network.make()
        yield network
    finally:
        failed = Journal.load(journal.path).roll_back()
    assert failed == []
    all_gone(network.switch)


def links() -> str:
    return subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout


def all_gone(switch: str) -> None:
    """Nothing of a network is left; those of other runs may be there."""
    assert list(Path("/run/netns").glob(f"{switch}*")) == []
    deadline = time.monotonic() + 30.0
    while switch in links():  # the kernel takes a namespace's lines away a little later
        assert time.monotonic() < deadline, links()
        time.sleep(0.02)


def services_left_in(folder: Path) -> list[Path]:
    """The journals of services that could not be undone; the others are gone with them."""
    return list(folder.glob("services-*"))


def inside(host: str, *command: str) -> str:
    argv = ["ip", "netns", "exec", host, *command]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def reaches(address: str, host: str | None = None) -> bool:
    """Whether this machine, or a host of it, reaches an address."""
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 9), 2)"
    where = ["ip", "netns", "exec", host] if host else []
    done = subprocess.run([*where, "python3", "-c", connect, address], capture_output=True, check=False)
    return b"ConnectionRefusedError" in done.stderr  # somebody is there to refuse


def comes_back(address: str, host: str | None = None) -> bool:
    """Whether an address is reached in the end: who was asked for in vain is asked for again a little later."""
    deadline = time.monotonic() + 30.0
    while not (is_there := reaches(address, host)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return is_there


def is_jvm_in(host: str, pid: int) -> bool:
    process = Path(f"/proc/{pid}")
    is_jvm = "CassandraDaemon" in (process / "cmdline").read_text()
    return is_jvm and (process / "ns/net").samefile(f"/run/netns/{host}")


def nodetool(cassandra: Cassandra, *words: str) -> str:
    argv = cassandra.nodetool(1, list(words))
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def lab_of(fleet: Any, folder: Path) -> Lab:
    """A laboratory with services and nobody in it."""
    nobody: Any = None
    return Lab(Site("", [], fleet), nobody, nobody, Journal.begin(folder), random.Random(1), lambda _: None)


def stub(network: Network, folder: Path) -> tuple[Lab, list[Any]]:
    """A laboratory whose Cassandras are hosts alone, and their names."""
    servers = [SimpleNamespace(name=name) for name in network.hosts.values()]
    cassandra = SimpleNamespace(namespaces=network.hosts, servers=servers)
    return lab_of(SimpleNamespace(cassandra=cassandra), folder), servers


@pytest.mark.system
def test_hosts_reach_each_other_and_this_machine_but_nobody_else(network: Network) -> None:
    (one, first), (two, _), _ = network.hosts.items()
    assert reaches(one)
    assert reaches(two, first)
    assert reaches(str(network.addresses[1]), first)
    routes = inside(first, "ip", "route").splitlines()
    assert [route.split()[0] for route in routes] == [str(network.addresses)]


@pytest.mark.system
async def test_a_host_that_is_cut_from_its_peers_is_still_reached(network: Network, tmp_path: Path) -> None:
    lab, servers = stub(network, tmp_path / "run")
    (one, first), (two, second), (three, _) = network.hosts.items()
    async with cut_from_peers(lab, servers[0]):
        assert reaches(one)
        assert not reaches(one, second)
        assert not reaches(two, first)
        assert reaches(three, second)
    assert comes_back(one, second)
    assert lab.journal.open == []


@pytest.mark.system
async def test_a_host_that_is_cut_off_is_reached_by_nobody(network: Network, tmp_path: Path) -> None:
    lab, servers = stub(network, tmp_path / "run")
    (one, _), (two, second), _ = network.hosts.items()
    async with cut_off(lab, servers[0]):
        assert not reaches(one)
        assert not reaches(one, second)
        assert reaches(two)
    assert comes_back(one)


@pytest.mark.system
async def test_lines_lose_and_are_thin_until_the_end_and_what_a_killed_run_left_is_undone(
    network: Network, tmp_path: Path
) -> None:
    lab, servers = stub(network, tmp_path / "run")
    host = servers[0].name
    address = next(iter(network.hosts))
    async with lossy(lab, servers[0], 99), thin(lab, servers[0], 256):
        assert not reaches(address)
        assert "tbf" in inside(host, "tc", "qdisc", "show", "dev", hosts.LINE)
        assert "tbf" in inside(network.switch, "tc", "qdisc", "show", "dev", host)
        left = Journal.load(lab.journal.path)
        assert {type(undo) for undo in left.open} == {InNamespace}
        assert left.roll_back() == []
        assert "tbf" not in inside(host, "tc", "qdisc", "show", "dev", hosts.LINE)
        assert "tbf" not in inside(network.switch, "tc", "qdisc", "show", "dev", host)
        assert inside(network.switch, "nft", "list", "ruleset") == ""
    assert comes_back(address)  # undone twice does no harm


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.usefixtures("possible")
async def test_cassandras_on_hosts_are_split_for_real_and_leave_nothing(tmp_path: Path) -> None:
    try:
        with lend_services(None, tmp_path, lambda _: None, has_hosts=True) as fleet:
            cassandra, port = fleet.cassandra, fleet.cassandra.settings["port"]
            (address, host), (other, _), _ = cassandra.namespaces.items()
            victim = cassandra.servers[0]
            assert victim.identity
            assert is_jvm_in(host, victim.identity.pid)
            deadline = time.monotonic() + 60.0
            async with cut_from_peers(lab_of(fleet, tmp_path / "run"), victim):
                assert ask(address, port, REQUEST, QUORUM)  # why not
                assert ask(address, port, "SELECT key FROM system.local", ONE) is None
                while ask(other, port, REQUEST, QUORUM):  # until it knows that one is away
                    assert time.monotonic() < deadline
            cassandra.wait_ready()
            assert nodetool(cassandra, "status").count("\nUN ") == 3
    except Unavailable as lacking:
        leave_out(str(lacking))
    all_gone(hosts.switch_of(host))
    assert services_left_in(tmp_path) == []


def test_without_root_or_a_program_there_are_no_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "is_root", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "nft" else name)
    with pytest.raises(Unavailable, match=r"^nft is not installed; on Debian: apt-get install nftables\.$"):
        hosts.check()
    for part in (hosts, disk):
        monkeypatch.setattr(part, "is_root", lambda: False)
        with pytest.raises(Unavailable, match=r" need(s|) root\.$"):
            part.check()


def test_the_addresses_are_some_without_a_route(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = '[{"dst": "default"}, {"dst": "10.0.0.0/9"}, {"dst": "10.128.0.0/10"}, {"dst": "192.0.2.7"}]'
    monkeypatch.setattr(hosts, "_ip", lambda *_: routes)
    assert {Network.unused(3).addresses.network_address.packed[1] for _ in range(20)} <= set(range(192, 256))
    monkeypatch.setattr(hosts, "_ip", lambda *_: '[{"dst": "10.0.0.0/8"}]')
    with pytest.raises(Unavailable):
        Network.unused(3)


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
        failed = Journal.load(journal.path).roll_back()
    assert failed == []
    assert not folder.is_mount()

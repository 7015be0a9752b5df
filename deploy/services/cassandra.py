"""Cassandra 5.0: one node, or a ring of three on addresses of their own, small enough for a laptop.

Starts are quick because nobody waits for gossip that three nodes on one machine
settle at once. Unless `measured`, the JVM also stops at its first compiler: starts are shorter and figures worthless.
Nodes may be in network namespaces, one each, which somebody else has made.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Final

from . import cql
from .errors import Misused, NotReady
from .java import JAMM, check_jars, default_jars, fetch_jars, java
from .process import POLL_S, Recipe, Server
from .service import Service, free_port, is_root

HOSTS: Final = {1: ("127.0.0.1",), 3: ("127.0.0.11", "127.0.0.12", "127.0.0.13")}
DATACENTER: Final = "datacenter1"  # what SimpleSnitch calls it
HEAP_MB: Final = 512
READY_S: Final = 180.0

MODULES: Final = (
    f"@{Path(__file__).with_name('jvm17.options')}"  # what Cassandra needs of the JDK's own insides
)
SMALL: Final = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
AT_ONCE: Final = [
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=100",
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Dcassandra.consistent.rangemovement=false",  # the nodes of a new ring may join at the same time
]

# Periodic sync, Cassandra's default, answers before the disk has the data: with one copy, an acknowledged write would
# be lost with the machine. Group sync answers after it, and the writes of one window share an fsync.
CONFIGURATION: Final = """\
cluster_name: chappe
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
num_tokens: 1
initial_token: {token}
auto_bootstrap: false
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "{seeds}"
listen_address: {host}
rpc_address: {host}
native_transport_port: {port}
storage_port: {storage_port}
data_file_directories: [{folder}/data]
commitlog_directory: {folder}/commitlog
saved_caches_directory: {folder}/saved_caches
hints_directory: {folder}/hints
cdc_raw_directory: {folder}/cdc_raw
commitlog_sync: group
commitlog_sync_group_window: 2ms
commitlog_segment_size: 8MiB
auto_snapshot: false
batch_size_warn_threshold: 64KiB
unlogged_batch_across_partitions_warn_threshold: 1000
commitlog_total_space: 256MiB
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
file_cache_size: 32MiB
key_cache_size: 16MiB
networking_cache_size: 16MiB
native_transport_max_request_data_in_flight: 32MiB
native_transport_max_request_data_in_flight_per_ip: 32MiB
concurrent_reads: 8
concurrent_writes: 16
concurrent_counter_writes: 4
concurrent_compactors: 1
"""
LOGGING: Final = """\
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %date{ISO8601} %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"""


class Cassandra(Service):
    """A Cassandra of one or three nodes; how many is settled at its first start."""

    name: ClassVar[str] = "cassandra"

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        nodes: int | None = None,
        jars: Path | None = None,
        *,
        measured: bool = False,
        hosts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, port, hosts=hosts)
        self._wanted_nodes = nodes
        self.jars = jars or default_jars()
        self._is_measured = measured

    @cached_property
    def servers(self) -> list[Server]:
        """The nodes."""
        return [
            Server(
                f"cassandra-{number}",
                self.folder / f"node{number}",
                Recipe(partial(self._argv, number), partial(self._ask, host), ready_s=READY_S),
            )
            for number, host in enumerate(self._hosts, start=1)
        ]

    @property
    def address(self) -> dict[str, Any]:
        """What a driver wants to know."""
        return {"contact_points": list(self._hosts), "port": self.settings["port"], "datacenter": DATACENTER}

    def check(self) -> None:
        """Look for Java, and for the jars or Maven."""
        java()
        check_jars(self.jars)

    def prepare(self) -> None:
        """Choose the ports, fetch the jars, write each node's configuration."""
        hosts = self._hosts
        port, *inner = (free_port(*HOSTS[len(hosts)]) for _ in range(2 + len(hosts)))
        settings = self.keep(nodes=len(hosts), port=port, storage_port=inner[0], jmx_ports=inner[1:])
        if not self.jars.exists():
            self.report(f"cassandra: fetching its jars, about 66 MB, to {self.jars}")
            fetch_jars(self.jars)
        for number, host in enumerate(hosts, start=1):
            folder = self._node(number)
            folder.mkdir(exist_ok=True)
            configuration = CONFIGURATION.format(
                host=host,
                seeds=",".join(hosts),
                token=-(2**63) + 1 + 2**64 * (number - 1) // len(hosts),
                port=settings["port"],
                storage_port=settings["storage_port"],
                folder=folder,
            )
            (folder / "cassandra.yaml").write_text(configuration)
            (folder / "logback.xml").write_text(LOGGING)

    def nodetool(self, number: int, words: list[str]) -> list[str]:
        """Return the command line of Cassandra's own tool, talking to a node that runs."""
        port = str(self.settings["jmx_ports"][number - 1])
        tool = ["org.apache.cassandra.tools.NodeTool", "-h", "127.0.0.1", "-p", port, *words]
        return [
            *self._inside(number),
            java(),
            "-Xmx128m",
            *SMALL,
            *self._properties(number),
            MODULES,
            "-cp",
            f"{self.jars}/*",
            *tool,
        ]

    @property
    def _hosts(self) -> tuple[str, ...]:
        there: int | None = self.settings["nodes"] if self.exists else None
        if there and self._wanted_nodes not in (None, there):
            raise Misused(
                f"{self.folder} holds a Cassandra of {there} node(s): leave the number out, "
                "take it down with --wipe, or name another folder."
            )
        return tuple(self.namespaces) or HOSTS[there or self._wanted_nodes or 1]

    @property
    def namespaces(self) -> Mapping[str, str]:
        """The network namespaces that the nodes are in, by address and in the order of `servers`; none on loopback."""
        kept = self.settings if self.exists else {}
        found: Mapping[str, str] = (kept | self._wanted).get("hosts", {})
        return found

    def _inside(self, number: int) -> list[str]:
        """Return the words that have a command run where a node is; the pid stays that of the command."""
        names = list(self.namespaces.values())
        return [str(shutil.which("nsenter")), f"--net=/run/netns/{names[number - 1]}"] if names else []

    def _node(self, number: int) -> Path:
        return self.folder / f"node{number}"

    def _properties(self, number: int) -> list[str]:
        folder = self._node(number)
        return [f"-Dlogback.configurationFile={folder}/logback.xml", f"-Dcassandra.storagedir={folder}"]

    def _argv(self, number: int) -> list[str]:
        folder = self._node(number)
        return [
            *self._inside(number),
            *_without_locked_memory(),
            java(),
            f"-Xms{HEAP_MB}m",
            f"-Xmx{HEAP_MB}m",
            "-Xss512k",
            *([] if self._is_measured else SMALL),
            *AT_ONCE,
            *self._properties(number),
            f"-Dcassandra.config=file://{folder}/cassandra.yaml",
            "-Dcassandra-foreground=yes",
            f"-Dcassandra.jmx.local.port={self.settings['jmx_ports'][number - 1]}",
            "-Djdk.attach.allowAttachSelf=true",
            "-Dio.netty.tryReflectionSetAccessible=true",
            f"-Djava.io.tmpdir={folder}",
            "-XX:+ExitOnOutOfMemoryError",
            f"-XX:ErrorFile={folder}/hs_err.log",
            f"-javaagent:{self.jars}/{JAMM}",
            MODULES,
            "-cp",
            f"{self.jars}/*",
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def _ask(self, host: str) -> str | None:
        return cql.ask(host, self.settings["port"], "SELECT key FROM system.local", cql.ONE)

    def wait_ready(self) -> None:
        """Return when each node answers, and each knows that all are there.

        A read that every node has to answer shows it: Cassandra keeps this keyspace three times.
        """
        super().wait_ready()
        statement = "SELECT view_name FROM system_distributed.view_build_status LIMIT 1"
        consistency = cql.ALL if len(self._hosts) == len(HOSTS[3]) else cql.ONE
        deadline = time.monotonic() + READY_S
        while whys := list(
            filter(
                None, (cql.ask(host, self.settings["port"], statement, consistency) for host in self._hosts)
            )
        ):
            if time.monotonic() > deadline:
                raise NotReady(
                    f"Cassandra's nodes have not found each other after {READY_S:g} s: {whys[0]}; see {self.folder}."
                )
            time.sleep(POLL_S)


def _without_locked_memory() -> list[str]:
    """Return the words that keep a JVM from holding all of its heap in memory, as Cassandra has it do if it may."""
    if not is_root() or (setpriv := shutil.which("setpriv")) is None:
        return []
    return [setpriv, "--inh-caps=-ipc_lock", "--bounding-set=-ipc_lock"]

"""A node's settings: defaults here, then a TOML file, then environment variables; unknown keys are refused.

`chappe serve`, the tests and the benchmark read them through `load`. Every limit has a name and a unit. A variable is
`CHAPPE_NODE_` plus section and key, as in `CHAPPE_NODE_GATEWAY__PORT=7500`.
"""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from .errors import SettingsError

ENV_PREFIX: Final = "CHAPPE_NODE_"

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Gateway(_Section):
    """Where clients connect, and by what name the server signs its challenges. More than one of `workers` are processes
    that share the port; they need `stores.messages` on cassandra, `stores.users_url` on PostgreSQL, and `bus.url`.
    """

    name: str = "chappe"
    """The name in the server's challenges, over which devices sign. The same on all nodes of one service."""
    host: str = "127.0.0.1"
    """The address that clients connect to; 0.0.0.0 is every one of this machine."""
    port: int = Field(default=7400, ge=0, le=65535)
    """Its port. 0 lets the kernel choose."""
    certificate: Path | None = None
    """The file of the certificate chain for TLS, PEM. Without one, put something before the node that speaks
    TLS.
    """
    private_key: Path | None = None
    """The file of its key, PEM."""
    self_signed: bool = False
    """Make a certificate in the data folder, for clients that are told to trust it."""
    backlog: PositiveInt = 1024
    """Connections that the kernel keeps waiting for each listening socket."""
    workers: PositiveInt = 1
    """Processes that share the port. More than 1 need Cassandra, PostgreSQL and a bus."""

    @model_validator(mode="after")
    def _whole_tls(self) -> Gateway:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key belong together: set both or neither")
        if self.self_signed and self.certificate is not None:
            raise ValueError("self_signed makes its own certificate: leave certificate and private_key out")
        return self


class Http(_Section):
    """Where operators look: /metrics, /healthz, /readyz, /tree, /targets. Keep it off the public network. `node` is
    what metrics call this node; without it, it is the machine's name.
    """

    host: str = "127.0.0.1"
    """The address of the operators' pages. They ask nobody for a password."""
    port: int = Field(default=7401, ge=0, le=65535)
    """Its port. 0 lets the kernel choose."""
    node: str | None = None
    """What metrics call this node. Without it, the machine's name."""

    @property
    def node_name(self) -> str:
        """What metrics call this node."""
        return self.node or socket.gethostname()


class Stores(_Section):
    """Where things are kept. `users_url` is an SQLAlchemy URL; without one it is SQLite in the data folder. `messages`
    is sqlite, also there, or cassandra. `log_days` 0 keeps the chat log for ever; otherwise it is more than
    `inbox_days`, since inboxes take long bodies from the log.
    """

    data: Path = Path("var")
    """The folder for what this node keeps itself: SQLite files, a self-signed certificate."""
    users_url: str | None = Field(default=None, repr=False)
    """Where accounts and keys are, as an SQLAlchemy URL: postgresql+psycopg://user:password@host/database.
    Without one, SQLite in the data folder.
    """
    messages: Literal["sqlite", "cassandra"] = "sqlite"
    """Where messages are: sqlite, in the data folder, or cassandra."""
    log_writers: PositiveInt = 4
    """Groups of messages that are written to Cassandra at the same time. SQLite has one."""
    batch_messages: PositiveInt = 512
    """The most messages in one group."""
    queue_messages: PositiveInt = 8192
    """Messages that may wait to be written; beyond that nothing more is read from senders."""
    inbox_days: PositiveInt = 30
    """For how many days a message waits for a device. What is stored keeps the days that held then."""
    log_days: int = Field(default=0, ge=0, le=7_000)  # Cassandra lets nothing expire after more than 20 years
    """For how many days history is kept; 0 for ever. More than inbox_days."""

    @model_validator(mode="after")
    def _inboxes_end_first(self) -> Stores:
        if 0 < self.log_days <= self.inbox_days:
            raise ValueError(
                "log_days must be 0 or more than inbox_days: inboxes take long bodies from the log"
            )
        return self


class Cassandra(_Section):
    """The cluster, when `stores.messages` is cassandra. `replicas` counts once, when `chappe migrate` makes the
    keyspace. `ca` is the certificate that signed the nodes'; without it the connection is not encrypted.
    """

    hosts: tuple[str, ...] = ("127.0.0.1",)
    """Some nodes of the cluster, to find the others by."""
    port: int = Field(default=9042, ge=1, le=65535)
    """Their port for clients."""
    keyspace: str = Field(default="chappe", pattern=r"^[A-Za-z0-9_]+$")
    """The keyspace; `chappe migrate` makes it."""
    translate: dict[str, str] = {}
    """Where nodes are reached that announce another address, as behind NAT or a proxy: announced, reached."""
    datacenter: str = Field(default="datacenter1", pattern=r"^[A-Za-z0-9_-]+$")
    """The data centre that is asked, as `nodetool status` calls it: quorums are its own."""
    replicas: PositiveInt = 3
    """Copies of each row. It counts when `chappe migrate` makes the keyspace, and not afterwards."""
    username: str | None = None
    """Who this node is for Cassandra. Without one, nobody is asked."""
    password: str | None = Field(default=None, repr=False)
    """And the password."""
    ca: Path | None = None
    """The file of the certificate that signed the nodes', PEM. Without one the connection is not encrypted.

    """
    requests: PositiveInt = 256
    """Requests that a node has under way at the same time."""

    @model_validator(mode="after")
    def _whole_credentials(self) -> Cassandra:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: set both or neither")
        return self


class BusSettings(_Section):
    """How nodes reach each other: `url` is a Redis (redis://, rediss://, unix://); without one this node is alone."""

    url: str | None = Field(default=None, repr=False)
    """A Redis: redis://, rediss:// (TLS) or unix://. Without one this node is alone."""
    prefix: str = "chappe:"
    """What its keys and channels begin with; the same for all nodes of one service, and no other's."""


class LimitSettings(_Section):
    """What one client, one address and the whole node may use."""

    connections: PositiveInt = 20_000
    """Connections of a process."""
    preauth_per_address: PositiveInt = 64
    """Of those, not signed in, from one address."""
    accept_burst: PositiveInt = 500
    """Connections accepted at once,"""
    accept_per_s: PositiveFloat = 200.0
    """and per second after that."""
    signups_per_address_burst: PositiveInt = 10
    """REGISTER, VERIFY, LOGIN and LINK of one address at once,"""
    signups_per_address_per_s: PositiveFloat = 0.1
    """and per second after that."""
    messages_burst: PositiveInt = 60
    """Messages of a device at once,"""
    messages_per_s: PositiveFloat = 10.0
    """and per second after that."""
    calls_burst: PositiveInt = 100
    """Calls of a device at once,"""
    calls_per_s: PositiveFloat = 20.0
    """and per second after that."""
    receipts_burst: PositiveInt = 300
    """Receipts of a device at once,"""
    receipts_per_s: PositiveFloat = 100.0
    """and per second after that. Who sends more is made to wait."""
    notes_burst: PositiveInt = 60
    """Typing notes of a device at once,"""
    notes_per_s: PositiveFloat = 20.0
    """and per second after that."""
    claims_burst: PositiveInt = 100
    """Prekey bundles that a device may take at once,"""
    claims_per_s: PositiveFloat = 1.0
    """and per second after that."""
    conversation_bytes_burst: int = Field(default=64 * 1024 * 1024, ge=128 * 1024)  # any one message fits
    """Bytes said in one conversation at once, for each gateway,"""
    conversation_bytes_per_s: PositiveFloat = 77.7  # 64 MiB in ten days
    """and per second after that: 64 MiB in ten days. It bounds a partition on Cassandra."""
    sends_in_flight: PositiveInt = 128
    """Messages of one connection that are not durable yet; then its reader waits."""
    # A whole window of events fits, and as much again: else a client with a backlog is thrown out as too slow for ever.
    outbox_frames: int = Field(default=2048, ge=512)
    """Frames that wait for one client."""
    outbox_bytes: int = Field(default=2 * 1024 * 1024, ge=2 * 1024 * 1024)
    """Bytes that wait for one client."""
    live_events: PositiveInt = 512
    """New messages that wait for one device in memory; past that its inbox is read again."""
    devices_per_account: PositiveInt = Field(default=12, le=13)
    """Devices of an account. A message is wrapped for each, and a frame holds no more than 13."""
    requests: PositiveInt = 1000
    """Calls and sign-ups under way in a process."""
    contacts_per_account: PositiveInt = Field(default=2_000, le=2_500)
    """Contacts of an account."""


class Timing(_Section):
    """Seconds. `write_deadline_s` and `skew_s` are W and S of the completeness rule (docs/architecture.md). A node that
    stops gives its clients `drain_s` to leave, and everything else `stop_s` after that; then it cancels what is left. A
    worker process that falls silent for `worker_silent_s` is killed.
    """

    hello_s: PositiveFloat = 10.0
    """A client that has not signed in by then is closed."""
    signup_s: PositiveFloat = 120.0
    """Longer for one that registers, logs in or links."""
    heartbeat_s: PositiveFloat = 25.0
    """Silence after which a client pings."""
    answer_s: PositiveFloat = 10.0
    """How long a PING waits for its PONG."""
    stall_s: PositiveFloat = 60.0
    """A client that acknowledges nothing for so long is closed; its messages wait for it."""
    write_deadline_s: PositiveFloat = 5.0
    """W: a message that takes longer to become durable is refused, and sent again."""
    skew_s: PositiveFloat = 0.5
    """S: how far two clocks may differ. Off by more, a node is not ready."""
    drain_s: PositiveFloat = 10.0
    """A node that stops gives its clients so long to leave,"""
    goaway_spread_s: PositiveFloat = 5.0
    """after telling each to wait for a random part of this before it connects anew,"""
    stop_s: PositiveFloat = 15.0
    """and everything else so long to end after that."""
    worker_silent_s: float = Field(default=30.0, ge=5.0)
    """A worker process that falls silent for so long is killed and started again. To start it has two minutes."""

    @property
    def late_ms(self) -> int:
        """W + S in milliseconds: how far behind the present every cursor stays."""
        return int((self.write_deadline_s + self.skew_s) * 1000)


class Accounts(_Section):
    """Registration and sign-in."""

    code_sender: Literal["console"] = "console"
    """How verification codes reach phones: console prints them."""
    code_ttl_s: PositiveFloat = 600.0
    """For how many seconds a code counts."""
    code_attempts: PositiveInt = 5
    """Wrong codes before a sign-up begins anew."""
    pending_device_s: PositiveFloat = 600.0
    """For how many seconds a device that logged in waits to be linked."""
    argon2_memory_kib: int = Field(default=65536, ge=8)
    """What one password hash costs in KiB of memory,"""
    argon2_passes: int = Field(default=2, ge=1)
    """and in passes over it."""
    hashes_at_once: PositiveInt = 2
    """Password hashes under way at the same time."""


class Log(_Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """What is worth a line on standard error: debug, info, warning or error."""
    format: Literal["console", "json"] = "console"
    """console for people, json for programs."""


class Tracing(_Section):
    """Spans of messages for OpenTelemetry, with the extra `otel`. Where they go is for the exporter's own variables,
    such as OTEL_EXPORTER_OTLP_ENDPOINT.
    """

    exporter: str | None = None
    """An installed exporter, such as console or otlp_proto_http. Without one nothing is recorded."""
    share: float = Field(default=0.01, ge=0.0, le=1.0)
    """Of how many messages. Which ones is the same on all nodes."""


class Chaos(_Section):
    """For those who break a node on purpose: POST /chaos/crash?path=... at the operators' port crashes a child of the
    tree, /chaos/hang?path=...&for_s=... has it hang. Only with `http.host` on loopback, and never in production.
    """

    enabled: bool = False
    """Let children of the tree be broken from outside. For experiments, on loopback only."""


class Settings(BaseSettings):
    """All of a node's settings."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    gateway: Gateway = Gateway()
    http: Http = Http()
    stores: Stores = Stores()
    cassandra: Cassandra = Cassandra()
    bus: BusSettings = BusSettings()
    limits: LimitSettings = LimitSettings()
    timing: Timing = Timing()
    accounts: Accounts = Accounts()
    log: Log = Log()
    tracing: Tracing = Tracing()
    chaos: Chaos = Chaos()

    @model_validator(mode="after")
    def _chaos_stays_at_home(self) -> Settings:
        if self.chaos.enabled and self.http.host not in LOOPBACK:
            raise ValueError(
                f"chaos.enabled lets anybody break parts of this node: set http.host to {LOOPBACK[0]}"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic passes all of these by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose values arrive as arguments."""
        return env_settings, init_settings


def load(path: Path | None = None) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: the file cannot be read, or a key is unknown or has a wrong value; the text names it.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not valid TOML: {error}.") from error
    _refuse_unknown_variables()
    try:
        return Settings(**values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'settings'}: {problem['msg'].lower()}"
            for problem in error.errors()
        )
        raise SettingsError(f"Wrong settings{f' in {path}' if path else ''}: {problems}.") from error


def _refuse_unknown_variables() -> None:
    # pydantic-settings looks up the variables it knows and never sees a misspelt one.
    for name in os.environ:
        if not name.upper().startswith(ENV_PREFIX):
            continue
        section, _, key = name[len(ENV_PREFIX) :].lower().partition("__")
        field = Settings.model_fields.get(section)
        model = field.annotation if field else None
        if not (isinstance(model, type) and issubclass(model, _Section) and key in model.model_fields):
            raise SettingsError(f"Unknown setting {name}: see config/chappe.toml for the names.")

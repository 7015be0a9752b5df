"""A node's settings: defaults here, then a TOML file, then environment variables; unknown keys are refused.

`chappe serve`, the tests and the benchmark read them through `load`. Every limit has a name and a unit. A variable is
`CHAPPE_NODE_` plus section and key, as in `CHAPPE_NODE_GATEWAY__PORT=7500`.
"""

from __future__ import annotations

import os
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


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Gateway(_Section):
    """Where clients connect, and by what name the server signs its challenges."""

    name: str = "chappe"
    host: str = "127.0.0.1"
    port: int = Field(default=7400, ge=0, le=65535)
    certificate: Path | None = None
    private_key: Path | None = None
    self_signed: bool = False
    backlog: PositiveInt = 1024

    @model_validator(mode="after")
    def _whole_tls(self) -> Gateway:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key belong together: set both or neither")
        if self.self_signed and self.certificate is not None:
            raise ValueError("self_signed makes its own certificate: leave certificate and private_key out")
        return self


class Http(_Section):
    """Where operators look: /metrics, /healthz, /readyz, /tree. Keep it off the public network."""

    host: str = "127.0.0.1"
    port: int = Field(default=7401, ge=0, le=65535)


class Stores(_Section):
    """Where things are kept. `users_url` is an SQLAlchemy URL; without one it is SQLite in the data folder."""

    data: Path = Path("var")
    users_url: str | None = None
    batch_messages: PositiveInt = 512
    queue_messages: PositiveInt = 8192
    inbox_days: PositiveInt = 30


class LimitSettings(_Section):
    """What one client, one address and the whole node may use."""

    connections: PositiveInt = 20_000
    preauth_per_address: PositiveInt = 64
    accept_burst: PositiveInt = 500
    accept_per_s: PositiveFloat = 200.0
    signups_per_address_burst: PositiveInt = 10
    signups_per_address_per_s: PositiveFloat = 0.1
    messages_burst: PositiveInt = 60
    messages_per_s: PositiveFloat = 10.0
    calls_burst: PositiveInt = 100
    calls_per_s: PositiveFloat = 20.0
    receipts_burst: PositiveInt = 300
    receipts_per_s: PositiveFloat = 100.0
    notes_burst: PositiveInt = 60
    notes_per_s: PositiveFloat = 20.0
    claims_burst: PositiveInt = 100
    claims_per_s: PositiveFloat = 1.0
    sends_in_flight: PositiveInt = 128
    outbox_frames: PositiveInt = 2048
    outbox_bytes: PositiveInt = 2 * 1024 * 1024
    live_events: PositiveInt = 512
    devices_per_account: PositiveInt = Field(default=12, le=13)
    requests: PositiveInt = 1000
    contacts_per_account: PositiveInt = Field(default=2_000, le=2_500)


class Timing(_Section):
    """Seconds. `write_deadline_s` and `skew_s` are W and S of the completeness rule (docs/architecture.md)."""

    hello_s: PositiveFloat = 10.0
    signup_s: PositiveFloat = 120.0
    heartbeat_s: PositiveFloat = 25.0
    answer_s: PositiveFloat = 10.0
    stall_s: PositiveFloat = 60.0
    write_deadline_s: PositiveFloat = 5.0
    skew_s: PositiveFloat = 0.5
    drain_s: PositiveFloat = 10.0
    goaway_spread_s: PositiveFloat = 5.0

    @property
    def late_ms(self) -> int:
        """W + S in milliseconds: how far behind the present every cursor stays."""
        return int((self.write_deadline_s + self.skew_s) * 1000)


class Accounts(_Section):
    """Registration and sign-in."""

    code_sender: Literal["console"] = "console"
    code_ttl_s: PositiveFloat = 600.0
    code_attempts: PositiveInt = 5
    pending_device_s: PositiveFloat = 600.0
    argon2_memory_kib: int = Field(default=65536, ge=8)
    argon2_passes: int = Field(default=2, ge=1)
    hashes_at_once: PositiveInt = 2


class Log(_Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


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
    limits: LimitSettings = LimitSettings()
    timing: Timing = Timing()
    accounts: Accounts = Accounts()
    log: Log = Log()

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

"""`serve`: runs a node. The settings file says how; the most used settings have options that win over it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..settings import Settings

Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Its port; 0 takes a free one.")]


def serve(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", envvar="CHAPPE_CONFIG", help="Settings in TOML (see config/)."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on for clients.")] = None,
    port: Port = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes that share this port; more than 1 needs Cassandra, PostgreSQL, Redis."
        ),
    ] = None,
    http_host: Annotated[
        str | None, typer.Option(help="Address of /metrics, /healthz, /readyz and /tree.")
    ] = None,
    http_port: Port = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where messages and accounts are kept.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TLS certificate chain (PEM).")
    ] = None,
    private_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).")] = None,
    self_signed: Annotated[
        bool | None,
        typer.Option("--self-signed", help="TLS with a certificate made at start; for development."),
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Write no log lines below this."),
    ] = None,
    log_format: Annotated[
        Literal["console", "json"] | None, typer.Option(help="For people or for programs.")
    ] = None,
) -> None:
    """Run a server on this machine until Ctrl-C or SIGTERM.

    Without options it listens on 127.0.0.1:7400 and keeps its data in ./var.
    What is not given here comes from CHAPPE_NODE_... variables, then from
    --config, then from the defaults. Verification codes are printed here.

    With several workers this process only supervises them: it starts again what
    dies, SIGHUP replaces them one after the other, and SIGTERM lets all drain.

    Examples:
        chappe serve
        chappe serve --data /var/lib/chappe --host 0.0.0.0 --certificate chain.pem --private-key key.pem
    """
    from ..settings import load

    settings = overridden(
        load(config),
        {
            "gateway": {
                "host": host,
                "port": port,
                "workers": workers,
                "certificate": certificate,
                "private_key": private_key,
                "self_signed": self_signed,
            },
            "http": {"host": http_host, "port": http_port},
            "stores": {"data": data},
            "log": {"level": log_level, "format": log_format},
        },
    )
    if settings.gateway.workers > 1:
        from ..fleet.parent import run
    else:
        from ..app import run
    run(settings)


def overridden(settings: Settings, options: dict[str, dict[str, object]]) -> Settings:
    """Return the settings with every option that is not None in place of what they say.

    Raises:
        SettingsError: the options do not go together.
    """
    from pydantic import ValidationError

    from ..errors import SettingsError

    sections: dict[str, BaseModel] = {}
    for name, given in options.items():
        section: BaseModel = getattr(settings, name)
        values = {key: value for key, value in given.items() if value is not None}
        try:
            sections[name] = type(section).model_validate({**section.model_dump(), **values})
        except ValidationError as error:
            problems = "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
            raise SettingsError(f"These options do not work with [{name}]: {problems}.") from error
    return settings.model_copy(update=sections)

"""Alertmanager 0.25 or later from the distribution's package, with the routes of config/alertmanager.

What it sends goes to a webhook: a program of one's own on loopback, that a test or a chaos scenario listens with.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Final

from ..alerts import Pace
from .service import free_port
from .web import HOST, WebService, program

CONFIGURATION: Final = Path(__file__).parents[2] / "config" / "alertmanager" / "alertmanager.yml"
WEBHOOK: Final = "http://127.0.0.1:9095"  # as it stands in that file


class Alertmanager(WebService):
    """An Alertmanager of one's own. `webhook` is who hears of alerts, at `/pages` and `/tickets`."""

    name: ClassVar[str] = "alertmanager"

    def __init__(
        self, folder: Path, port: int | None = None, webhook: str | None = None, pace: float | None = None
    ) -> None:
        super().__init__(folder, port, webhook=webhook, pace=pace)

    def check(self) -> None:
        """Look for the program."""
        _program()

    def prepare(self) -> None:
        """Choose a port, write the configuration."""
        settings = self.keep(port=free_port(HOST), webhook=WEBHOOK, pace=1.0)
        pace = Pace(settings["pace"])
        text = CONFIGURATION.read_text(encoding="utf-8").replace(WEBHOOK, settings["webhook"].rstrip("/"))
        (self.folder / "alertmanager.yml").write_text(
            re.sub(
                r"\b(group_wait|group_interval|repeat_interval): (\w+)",
                lambda m: f"{m[1]}: {pace(m[2])}",
                text,
            )
        )

    def argv(self) -> list[str]:
        """Return what to run."""
        return [
            _program(),
            f"--config.file={self.folder}/alertmanager.yml",
            f"--storage.path={self.folder}/data",
            f"--web.listen-address={HOST}:{self.settings['port']}",
            "--cluster.listen-address=",  # there is no other one, and the default listens to everybody
        ]


def _program() -> str:
    return program("prometheus-alertmanager", "prometheus-alertmanager")

"""Prometheus 2.42 or later from the distribution's package, with config/prometheus and whatever nodes it shall scrape.

The configuration is the one in the repository, but for addresses and, with a pace, all of its time: sixty times faster
an alert that needs an hour comes within a minute. A Prometheus that runs reads a changed one without a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from ..alerts import Pace, rendered
from .alertmanager import Alertmanager
from .service import free_port
from .web import HOST, WebService, program

CONFIGURATION: Final = Path(__file__).parents[2] / "config" / "prometheus" / "prometheus.yml"
NODE: Final = "http://127.0.0.1:7401"  # as it stands in that file
RETENTION: Final = "35d"  # the objectives look back 30


class Prometheus(WebService):
    """A Prometheus of one's own. `nodes` are URLs of operators' endpoints, such as http://127.0.0.1:7401."""

    name: ClassVar[str] = "prometheus"

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        nodes: Sequence[str] = (),
        pace: float | None = None,
    ) -> None:
        super().__init__(folder, port, nodes=[*nodes] or None, pace=pace)
        self._alertmanager = Alertmanager(folder)

    @property
    def address(self) -> dict[str, Any]:
        """Its URL, and what it scrapes."""
        return super().address | {"nodes": self.settings["nodes"]}

    def check(self) -> None:
        """Look for the program."""
        _program()

    def prepare(self) -> None:
        """Choose a port, write configuration and rules. Alerts go to the Alertmanager of this folder, if any."""
        settings = self.keep(port=free_port(HOST), nodes=[NODE], pace=1.0)
        pace = Pace(settings["pace"])
        (self.folder / "rules.yml").write_text(rendered(pace))
        alerting = self._alertmanager
        where = {
            f"      - url: {NODE}/targets\n        refresh_interval: 10s\n": "".join(
                f"      - url: {url.rstrip('/')}/targets\n        refresh_interval: {pace('10s')}\n"
                for url in settings["nodes"]
            ),
            "scrape_interval: 15s": f"scrape_interval: {pace('15s')}",
            "evaluation_interval: 15s": f"evaluation_interval: {pace('15s')}",
            '["127.0.0.1:9093"]': f'["{HOST}:{alerting.settings["port"]}"]' if alerting.exists else "[]",
        }
        text = CONFIGURATION.read_text(encoding="utf-8")
        for ours, theirs in where.items():
            assert ours in text, f"{CONFIGURATION} has no {ours!r} any more"
            text = text.replace(ours, theirs)
        (self.folder / "prometheus.yml").write_text(text)

    def argv(self) -> list[str]:
        """Return what to run."""
        return [
            _program(),
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--storage.tsdb.retention.time={RETENTION}",
            f"--web.listen-address={HOST}:{self.settings['port']}",
            "--web.enable-lifecycle",
            "--enable-feature=exemplar-storage",
        ]


def _program() -> str:
    return program("prometheus", "prometheus")

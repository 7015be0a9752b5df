"""Servers that say over HTTP whether they are ready: what Prometheus and Alertmanager have in common."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from .errors import Misused, Unavailable
from .process import Recipe, Server
from .service import Service

HOST: Final = "127.0.0.1"
ANSWER_WITHIN_S: Final = 5.0


class WebService(Service):
    """A service of one server, which reads a changed configuration without a restart."""

    @cached_property
    def servers(self) -> list[Server]:
        """The one server."""
        return [Server(self.name, self.folder, Recipe(self.argv, lambda: ask(self.settings["port"])))]

    @property
    def address(self) -> dict[str, Any]:
        """Its URL."""
        return {"url": f"http://{HOST}:{self.settings['port']}"}

    @abstractmethod
    def argv(self) -> list[str]:
        """Return what to run."""

    def launch(self) -> None:
        """Start it, or have the one that runs read its configuration anew. Raises: as `Service.launch`."""
        was_running = self.is_running
        super().launch()
        if was_running and (why := ask(self.settings["port"], "/-/reload", "POST")) is not None:
            raise Misused(f"{self.name} does not take its new configuration: {why}")


def ask(port: int, path: str = "/-/ready", method: str = "GET") -> str | None:
    """Return None when the server answers 200, else why it does not."""
    connection = HTTPConnection(HOST, port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if response.status == 200 else " ".join(body.split()) or f"HTTP {response.status}"


def program(name: str, package: str) -> str:
    """Return where a program is. Raises: `Unavailable`."""
    found = shutil.which(name)
    if found is None:
        raise Unavailable(f"{package.title()} is not installed; on Debian: apt-get install {package}.")
    return found

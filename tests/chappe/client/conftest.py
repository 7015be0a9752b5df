"""A server with a home folder for people, and cheap key derivation: a tenth of a second a store adds up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chappe.client.store import database
from chappe.client.store.vault import Kdf

from .post import Device, Post
from .servers import Home, running_server


@pytest.fixture(autouse=True)
def cheap_kdf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new stores with the least work that libsodium allows; what is stored decides how they are opened."""
    monkeypatch.setattr(database, "new_kdf", lambda random: Kdf(random(16), 1, 8192))


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """A running server, and where its people live."""
    async with running_server(tmp_path / "server") as server:
        yield Home(server, tmp_path)


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def alice(post: Post, tmp_path: Path) -> Iterator[Device]:
    device = Device.register(post, tmp_path / "alice")
    yield device
    device.close()


@pytest.fixture
def bob(post: Post, tmp_path: Path) -> Iterator[Device]:
    device = Device.register(post, tmp_path / "bob")
    yield device
    device.close()

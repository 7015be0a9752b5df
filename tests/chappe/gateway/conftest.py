"""A node in this process, and people registered with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chappe.app import Node
from chappe.gateway import code_senders

from .raw import Person, register, running_node, settings


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where verification codes arrive: phone number to code."""
    sent: dict[str, str] = {}

    async def send(_self: object, phone: str, code: str) -> None:
        sent[phone] = code

    monkeypatch.setattr(code_senders.ConsoleSender, "send", send)
    return sent


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node with embedded stores."""
    async with running_node(settings(tmp_path / "data")) as running:
        yield running


@pytest.fixture
async def alice(node: Node, codes: dict[str, str]) -> Person:
    """Somebody registered."""
    person = Person("alice", "+4915112345601")
    await register(node, person, codes)
    return person


@pytest.fixture
async def bob(node: Node, codes: dict[str, str]) -> Person:
    """Somebody else."""
    person = Person("bob", "+4915112345602")
    await register(node, person, codes)
    return person

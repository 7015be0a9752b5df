"""A device shows a conversation in the order in which messages came to it, not in that of their ids."""

from __future__ import annotations

from chappe.client.store import messages


def plant() -> None:
    page = messages.page.__code__
    constants = tuple(
        one.replace("m.id IS NULL DESC, m.id DESC, m.seq DESC", "m.seq DESC") if isinstance(one, str) else one
        for one in page.co_consts
    )
    assert constants != page.co_consts, "The statement was changed; change this too."
    messages.page.__code__ = page.replace(co_consts=constants)

"""A process for `test_kill.py` to kill: appends for ever and prints the ids of what was acknowledged."""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from chappe.ids import ConversationId, DeviceId
from chappe.stores.sqlite import staging
from chappe.stores.sqlite.messages import open_message_store
from tests.contracts import samples

CONV = ConversationId(b"kill" * 4)
DEVICE = DeviceId(b"hear" * 4)


async def main(path: Path) -> None:
    async with open_message_store(path) as store:
        await store.newest_id()
        while True:
            batch = [samples.message(CONV, DEVICE, at=samples.random_id()) for _ in range(9)]
            await store.append(batch, [])
            print(*(m.id.hex() for m in batch), flush=True)


if __name__ == "__main__":
    staging.GENERATION_ROWS = 400  # type: ignore[misc]  # so that there is always something being moved
    trio.run(main, Path(sys.argv[1]))

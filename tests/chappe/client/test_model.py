"""Three devices of two people under any schedule of writing, sending, repeating and restarting: all show the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chappe.client.events import Undecryptable

from .post import Device, Post

OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["write", "flush", "fetch", "fetch some", "restart"]), st.integers(0, 2)),
    max_size=25,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS)
def test_all_devices_show_the_same(operations: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        post = Post()
        alice, bob = (Device.register(post, Path(root, name)) for name in ("alice", "bob"))
        tablet = Device.linked(alice, Path(root, "tablet"))
        devices = [alice, tablet, bob]
        written: list[str] = []
        undecryptable = 0
        for operation, index in operations:
            device = devices[index]
            match operation:
                case "write":
                    written.append(f"{len(written)} by {index}")
                    device.write(alice if device is bob else bob, written[-1])
                case "flush":
                    device.flush()
                case "fetch":
                    device.fetch()
                case "fetch some":
                    device.take(list(post.inboxes[device.own.device][:2]))
                case _:
                    device.restart()
        for device in devices:
            device.flush()
        for device in devices:
            device.fetch()
            undecryptable += sum(isinstance(event, Undecryptable) for event in device.events)
        shown = [device.texts(alice if device is bob else bob) for device in devices]
        assert shown[0] == shown[1] == shown[2]
        assert sorted(text or "" for text in shown[0]) == sorted(written)
        by_each = [[text for text in shown[0] if text and text.endswith(f"by {index}")] for index in range(3)]
        assert all(texts == [text for text in written if text in texts] for texts in by_each)
        assert undecryptable == 0
        for device in devices:
            device.close()

"""A log that cannot be written harms nobody, and lines of processes that share one are not mixed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

LOGS = """
import structlog
from chappe.logs import configure
from chappe.settings import Log

configure(Log())
structlog.get_logger().error("one line")
print("goes on")
"""


def test_a_log_that_cannot_be_written_is_lost_and_nothing_else() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        done = subprocess.run([sys.executable, "-c", LOGS], stdout=subprocess.PIPE, stderr=full, check=True)
    assert done.stdout == b"goes on\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_is_one_write(unbuffered: str) -> None:
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # keeps what was written apart
    with reader, writer:
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        subprocess.run([sys.executable, "-c", LOGS], stderr=writer, env=environment, check=True)
        line = reader.recv(4096)
    assert b"one line" in line
    assert line.endswith(b"\n")

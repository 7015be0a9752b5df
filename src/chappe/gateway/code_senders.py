"""How a verification code reaches a phone. The console sender is for development: whoever sees the server's output
is trusted with every phone number. A text-message provider is another class with the same method.
"""

from __future__ import annotations

import sys
from typing import TextIO


class ConsoleSender:
    """Prints codes, one line each, to standard output."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    async def send(self, phone: str, code: str) -> None:
        """Print the code."""
        # In one piece, end of line included: several workers write to the same console.
        self._out.write(f"verification code for {phone}: {code}\n")
        self._out.flush()

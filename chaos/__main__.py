"""`python -m chaos` is `chappe-chaos`."""

from __future__ import annotations

from .cli import main

main()

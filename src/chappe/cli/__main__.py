"""`python -m chappe.cli`: the `chappe` command without its script on the PATH."""

from .main import run

run()

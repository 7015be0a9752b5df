"""Looking through a whole store: `chappe store stats` and `chappe store check`. Start at `check.py`.

Blocking, since they run as commands of their own, beside nodes that go on: every read is a short one.
"""

"""Several worker processes on one address, and the parent that supervises them.

The parent's side is `parent.py` (tree, rolling restart), `worker.py` (one child: one process) and `endpoints.py` (what
operators see). The worker's side is `link.py` and `__main__.py`.
"""

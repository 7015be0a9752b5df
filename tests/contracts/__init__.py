"""One suite per port, run over every adapter: a new one joins by one factory in `conftest.py`."""

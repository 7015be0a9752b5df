"""Accounts, devices, keys, contacts by SQLAlchemy, on SQLite or PostgreSQL. Start at `schema.py`."""

"""The client's encrypted store: one SQLite file, one thread, one transaction per step. No network in here."""

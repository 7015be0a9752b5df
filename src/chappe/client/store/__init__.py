"""The client's encrypted store: one SQLite file, one thread, one transaction per step. Imports nothing of the network."""

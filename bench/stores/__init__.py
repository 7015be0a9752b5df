"""The same traffic on SQLite and on the real stores, with one worker and with two: what a message costs whom."""

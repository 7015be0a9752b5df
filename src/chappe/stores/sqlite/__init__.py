"""The embedded message store: chat log, inboxes, receipts in one SQLite file. Start at `messages.py`."""

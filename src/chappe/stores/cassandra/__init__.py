"""The replicated message store: chat log, inboxes, receipts on Cassandra. Start at `messages.py`."""

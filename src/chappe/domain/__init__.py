"""What Chappe is about, without I/O: accounts, contacts, delivery, receipts, presence. Imports only ids and protocol."""

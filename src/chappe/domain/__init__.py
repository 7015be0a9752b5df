"""What Chappe is about, without I/O: accounts, contacts, delivery, receipts, presence. Imports ids and protocol."""

"""End-to-end encryption between two devices: bytes and values only, no socket, clock or file.

The client calls it; the server uses `device_list` and `keys.verify_signature`. The way of a message:
`envelope` seals the body once, `sessions` wraps its key for each device, by `handshake` at first and
`ratchet` from then on. State is a value: every function takes the old one and returns the next. Time
(milliseconds since 1970) and randomness are arguments.

>>> import os
>>> from chappe.crypto import envelope
>>> context = envelope.Context(bytes(16), bytes(16), bytes(16), bytes(16), 1)
>>> key, body = envelope.seal(b"Hello.", context, os.urandom)
>>> envelope.open(key, body, context)
b'Hello.'
"""

"""Adapters behind `ports.py`, one folder for each engine. `app.py` chooses; nobody else imports from here."""

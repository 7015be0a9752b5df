"""Chaos engineering for Chappe: real people on a real stack, and what breaks it on purpose."""

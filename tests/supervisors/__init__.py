"""The supervision framework's tests; all of them own time."""

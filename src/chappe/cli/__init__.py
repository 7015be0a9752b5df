"""The `chappe` command: `main` is the index of its commands."""

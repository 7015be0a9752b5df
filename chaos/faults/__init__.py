"""Ways to break something, each an async context manager: broken inside, put right at its end, whatever happens."""

"""People who chat while things break, and write down all that they see: what the verdict is about."""

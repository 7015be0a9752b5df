"""Runs as pages: one self-contained HTML file each, and an index. Pure, but for `pages.write`."""

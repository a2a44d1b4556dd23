"""Stands before the real uvloop on a PYTHONPATH, so that a program runs as if uvloop were not installed."""

raise ImportError("uvloop is left out on purpose")

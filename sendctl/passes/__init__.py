"""Passes: one file per command's work. They know the store, rendering, providers and the journal; nobody's screen."""

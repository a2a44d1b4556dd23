"""Evidence from the logs of one's own MTA: which messages in doubt it accepted, which it never had.

`search.search` is the way in; docs/evidence.md says what each log line proves. Never sends, never writes.
"""

"""Services that are spoken to over HTTP: one file for each, over one client that knows how far a request got.

Nothing here retries, follows a redirect or guesses: what no reply has settled is UNKNOWN.
"""

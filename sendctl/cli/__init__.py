"""The command line: each verb parses its options, calls one pass and prints what it reports. It decides nothing.

A cron job pays every import each minute, so modules here import the passes, SQLAlchemy and rich inside the functions
that need them.
"""

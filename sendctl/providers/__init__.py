"""Providers: one file per service over the small interface in base.py. They know neither store nor commands."""

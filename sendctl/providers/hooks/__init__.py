"""Webhooks as somebody else has received them: whether a service has really sent them, and what they say.

One file for each service: `verify` raises unless it was signed with what the section names, `read` makes lines of
docs/events.md of it. Nothing here listens, and nothing unsigned is ever read.
"""

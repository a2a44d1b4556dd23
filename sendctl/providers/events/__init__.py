"""What services tell of messages, each in its own form, as lines of docs/events.md.

One file for each service, whichever way its events come: pulled, from a queue, or by webhook. None of them decides
whether an event is genuine, and none knows the store.
"""

"""The exhaustive model: the real send, reconcile and recover code under every order of what can happen to it.

`python -m tests.model` explores; `docs/RELIABILITY.md` says what is explored, and what was found.
"""

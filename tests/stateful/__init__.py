"""A stateful model: hypothesis drives the real passes through whatever it can think of, and an oracle looks on.

Never replaces a decision of sendctl: only its clock, its randomness and the far end of its providers are the test's.
"""

"""Mutation testing of the protocol: small breaks of one line, each judged by the tests that run that line.

`python -m tests.mutation` (`make prove-mutants`) runs it; test_mutation.py tries it on toys. It is our own because what
carries the promise here are SQL predicates, which common tools do not break, and because those run far too many tests
for each break.
"""

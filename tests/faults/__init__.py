"""What disks, databases, clocks and operators do to sendctl, each at every place where it may happen, and the account.

`python -m tests.faults` runs all of it (`make prove-faults`); test_faults.py runs a sample of it.
"""

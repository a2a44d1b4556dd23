"""SIGKILL at every system call of every command, on both databases, judged by the server's own log.

`python -m tests.kill` runs all of it (`make prove-kill`); test_kill.py runs a sample of it.
"""

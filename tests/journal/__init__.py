"""Tests of the outcome journal: what it proves after a kill, a stop, a torn write or a full disk."""

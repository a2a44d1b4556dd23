"""Tests of whole passes in this process, on both databases, with a clock that the test owns."""

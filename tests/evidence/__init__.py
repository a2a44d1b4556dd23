"""Tests of what MTA logs prove."""

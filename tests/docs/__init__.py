"""Tests that hold the documents to the program: states, words, links, and every command of a runbook."""

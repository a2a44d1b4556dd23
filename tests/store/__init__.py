"""Tests of the ledger on both databases. Nothing here sends over a network."""

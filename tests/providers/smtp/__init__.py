"""Tests of the SMTP provider and of the SMTP double that judges it."""
